"""Step 8 in real containers: Caddy checks and loads its file, CoreDNS is told, and what does not run is said."""

import json
from pathlib import Path

import pytest

from app.archive.parts import PartOutcome
from app.cell.generated.templates import FIRST_LINE
from app.engine.docker import DockerEngine
from tests.support.core_containers import CoreContainer, RunCore, core_image, run_core
from tests.support.docker_engine import docker
from tests.support.regenerating import cell, ready, tools_of
from workers.regeneration.regenerating import regenerate

__all__ = ["cell", "core_image", "run_core"]

pytestmark = pytest.mark.engine

SUCCEEDED, FAILED, SKIPPED = PartOutcome.SUCCEEDED, PartOutcome.FAILED, PartOutcome.SKIPPED
START = 'echo "{ }" > /tmp/start; XDG_DATA_HOME=/tmp exec caddy run --config /tmp/start --adapter caddyfile'
ANSWERS = "wget -q -O - http://localhost:2019/config/ >/dev/null 2>&1"
TRAP = 'trap "echo told >> /tmp/told" USR1; touch /tmp/ready; while :; do sleep 1 & wait $!; done'


def hosts_of(caddy: CoreContainer) -> dict[str, str]:
    """Ask the running Caddy which host names lead where."""
    config = json.loads(caddy.sh("wget -q -O - http://localhost:2019/config/"))
    found: dict[str, str] = {}
    for server in ((config or {}).get("apps", {}).get("http", {}).get("servers", {})).values():
        for route in server["routes"]:
            dial = route["handle"][0]["routes"][0]["handle"][0]["upstreams"][0]["dial"]
            found |= dict.fromkeys(route["match"][0]["host"], dial)
    return found


async def test_caddy_checks_the_new_file_and_serves_by_it(cell: Path, engine: DockerEngine, run_core: RunCore) -> None:
    mount = f"--volume={cell}/data/vault/certs:/vault/certs:ro"
    with run_core(START, options=[mount]) as caddy:
        await ready(caddy, ANSWERS)
        done = await regenerate(tools_of(cell, engine, {"cell-caddy": caddy}), way="builtin")

        assert (done.caddyfile.outcome, done.caddyfile.message) == (SUCCEEDED, "written and loaded.")
        assert hosts_of(caddy)["mail.home.cell"] == "cell-mail:8080"
        assert '"certificate":"/vault/certs/home.cell.crt"' in caddy.sh("wget -q -O - http://localhost:2019/config/")
    assert (cell / "config/caddy/Caddyfile").read_text().startswith(FIRST_LINE)
    assert (cell.parent / "state/replaced/Caddyfile").read_text().startswith("api.home.cell {")
    assert done.warnings == ()


async def test_without_a_view_of_the_vault_caddy_signs_by_itself(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    with run_core(START) as caddy:
        await ready(caddy, ANSWERS)
        done = await regenerate(tools_of(cell, engine, {"cell-caddy": caddy}), way="builtin")

        assert done.caddyfile.outcome is SUCCEEDED
        assert '"module":"internal"' in caddy.sh("wget -q -O - http://localhost:2019/config/")


async def test_a_file_that_caddy_refuses_replaces_nothing(
    cell: Path, engine: DockerEngine, run_core: RunCore, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/Caddyfile.j2").write_text("{{ domain }} {\n\tfrobnicate\n}\n")
    file = cell / "config/caddy/Caddyfile"
    before = (file.read_bytes(), file.stat())
    with run_core(START) as caddy:
        await ready(caddy, ANSWERS)
        tools = tools_of(cell, engine, {"cell-caddy": caddy}, template_dir=tmp_path / "templates")
        done = await regenerate(tools, way="builtin")

        assert done.caddyfile.outcome is FAILED
        assert "frobnicate" in done.caddyfile.message
        assert done.caddyfile.message in done.warnings
        assert hosts_of(caddy) == {}
    after = (file.read_bytes(), file.stat())
    assert (after[0], after[1].st_ino, after[1].st_mtime_ns) == (before[0], before[1].st_ino, before[1].st_mtime_ns)
    assert not (tmp_path / "state/applied.json").exists()


async def test_coredns_is_told_by_usr1(cell: Path, engine: DockerEngine, run_core: RunCore) -> None:
    with run_core(TRAP) as dns:
        await ready(dns)
        done = await regenerate(tools_of(cell, engine, {"cell-dns": dns}), way="builtin")

        assert done.corefile.outcome is SUCCEEDED
        await ready(dns, "[ -e /tmp/told ]")
    assert "forward . 10.0.1.1" in (cell / "config/dns/Corefile").read_text()


async def test_containers_that_do_not_run_are_said_and_no_failure(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    with run_core("exec sleep 1000") as stopped:
        docker("kill", stopped.name)
        done = await regenerate(tools_of(cell, engine, {"cell-caddy": stopped}), way="builtin")

    assert done.good
    assert done.warnings == ()
    assert done.caddyfile.message == "written, not yet loaded: cell-caddy does not run."
    assert done.corefile.message == "written, not yet loaded: there is no cell-dns."
    assert (done.routing.outcome, done.routing.message) == (SKIPPED, "not applied: there is no cell-wireguard.")
