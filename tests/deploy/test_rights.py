"""What the containers of the stack may do, as the engine and the kernel see it."""

import subprocess
from typing import Any

import pytest

from tests.deploy.stack import SERVICES, Stack
from tests.support.docker_engine import docker

pytestmark = pytest.mark.engine

# bits of capability.h
CHOWN, DAC_OVERRIDE, FOWNER, FSETID = 1 << 0, 1 << 1, 1 << 3, 1 << 4
RIGHTS = {"api": DAC_OVERRIDE, "worker": CHOWN | DAC_OVERRIDE | FOWNER | FSETID, "redis": 0}
OURS = ("api", "worker")


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_the_rights_it_needs_and_no_other(stack: Stack, service: str) -> None:
    status = dict(line.split(":\t", 1) for line in stack.in_container(service, "cat /proc/1/status").splitlines())
    assert int(status["CapEff"], 16) == RIGHTS[service]
    assert int(status["CapBnd"], 16) == RIGHTS[service]
    assert status["NoNewPrivs"].strip() == "1"
    assert (status["Uid"].split()[0] == "0") is (service != "redis")


@pytest.mark.parametrize("service", SERVICES)
def test_a_root_file_system_cannot_be_written(stack: Stack, service: str) -> None:
    assert stack.inspect(service)["HostConfig"]["ReadonlyRootfs"] is True
    for folder in ("/", "/usr/bin", "/etc"):
        command = ["docker", "exec", "--user=0", stack.container(service), "touch", f"{folder}/new"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert b"Read-only file system" in done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_restarted_and_takes_no_more_than_its_share(stack: Stack, service: str) -> None:
    host: dict[str, Any] = stack.inspect(service)["HostConfig"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["NanoCpus"] > 0 or host["CpuShares"] > 0
    assert host["Init"] is True
    assert host["LogConfig"]["Config"]["max-size"]
    assert host["Privileged"] is False


def test_only_the_api_is_reached_and_only_from_this_machine(stack: Stack) -> None:
    port = stack.variables["CELL_BACKUP_PORT"]
    published = {service: stack.inspect(service)["NetworkSettings"]["Ports"] for service in SERVICES}
    assert published["api"] == {"8300/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}
    assert not any((published["worker"] or {}).values())
    assert not published["redis"]


def test_redis_has_no_network_and_drops_nothing(stack: Stack) -> None:
    redis = stack.inspect("redis")
    assert redis["HostConfig"]["NetworkMode"] == "none"
    assert "lo" in stack.in_container("redis", "cat /proc/net/dev")
    assert "eth" not in stack.in_container("redis", "cat /proc/net/dev")
    asked = "redis-cli -s /data/redis.sock config get {}"
    for name, value in {"port": "0", "appendonly": "yes", "maxmemory-policy": "noeviction"}.items():
        assert stack.in_container("redis", asked.format(name)).split() == [name, value]


@pytest.mark.parametrize("service", OURS)
def test_neither_records_nor_passphrase_files_can_be_changed(stack: Stack, service: str) -> None:
    mounts = {mount["Destination"]: mount["RW"] for mount in stack.inspect(service)["Mounts"]}
    cell = stack.variables["CELL_BACKUP_CELL_ROOT"]
    written = {cell: True, "/var/run/docker.sock": True, "/var/lib/cell-backup": True}
    assert mounts == {**written, "/run/redis": False, "/etc/cell-backup": False}


def test_api_and_worker_share_the_state_that_nobody_else_reads(stack: Stack) -> None:
    look = "cd /var/lib/cell-backup; stat -c '%a %u %n' . instance.key; cat instance.key"
    said = stack.in_container("api", look)
    assert said.splitlines()[:2] == ["700 0 .", "600 0 instance.key"]
    assert stack.in_container("worker", look) == said


def test_the_health_checks_say_so_where_nobody_is_there(stack: Stack) -> None:
    check = "python3 /opt/cell-backup/healthcheck.py {}; echo $?"
    assert stack.in_container("worker", check.format("worker")) == "0\n"
    assert stack.in_container("worker", "export CELL_BACKUP_CELL_ROOT=/mnt; " + check.format("worker")) == "1\n"
    assert stack.in_container("worker", "unset CELL_BACKUP_REDIS_URL; " + check.format("worker")) == "1\n"
    assert stack.in_container("api", check.format("api")) == "0\n"
    assert stack.in_container("worker", check.format("api")) == "1\n"


def test_the_image_has_no_build_tools_and_no_caches(built: Stack) -> None:
    words = "find /usr/bin /opt -name 'gcc*' -o -name pip -o -name setuptools -o -name '*.whl'; "
    words += "ls -A /src /tools /root/.cache"
    image = built.variables["IMAGE"]
    command = ["docker", "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", words]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stdout == b""
    assert done.stderr.count(b"No such file or directory") == 3
    base, ours = (int(docker("inspect", "--format={{.Size}}", name)) for name in (built.variables["BASE"], image))
    assert ours - base < 110_000_000


def test_the_image_says_how_it_is_run(built: Stack) -> None:
    image = built.variables["IMAGE"]
    assert docker("run", "--rm", "--network=none", "--read-only", image, "--version").startswith(b"cell-backup ")
    wanted = "{{json .Config.Entrypoint}} {{.Config.StopSignal}} {{json .Config.Healthcheck.Test}}"
    said = docker("inspect", f"--format={wanted}", image).decode()
    assert '["cell-backup"] SIGTERM' in said
    assert "curl" not in said


def test_an_image_for_another_user_runs_as_that_user(built: Stack) -> None:
    own = f"{built.variables['IMAGE']}-own"
    built.compose("build", "--force-rm", "api", RUN_AS="4321:1234", IMAGE=own)
    try:
        options = ["--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--entrypoint=sh"]
        words = "id -u; id -g; stat -c '%a %u %g' /var/lib/cell-backup; cell-backup --version"
        said = docker("run", *options, own, "-c", words).decode().splitlines()
        assert said[:3] == ["4321", "1234", "700 4321 1234"]
        assert said[3].startswith("cell-backup ")
    finally:
        docker("rmi", "--force", own)
