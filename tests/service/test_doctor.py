"""The doctor beside a real engine: which tar reads the volumes of each container."""

import json
import subprocess
from typing import Any

import pytest

from tests.support.docker_engine import Images, RunContainer
from tests.support.service import CLI, Place

pytestmark = pytest.mark.engine
LABELS = {"cell-backup.volumes": "/vol"}


def examined(place: Place, docker_host: str) -> dict[str, Any]:
    words = [*CLI, "doctor", "--json", "--url", "http://127.0.0.1:9"]
    environment = place.environment(docker_host=docker_host)
    done = subprocess.run(words, env=environment, cwd=place.home, capture_output=True, check=False, timeout=60)
    assert done.returncode == 3, done
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_the_tar_of_each_container_is_named(
    place: Place, docker_host: str, images: Images, run_container: RunContainer
) -> None:
    with (
        run_container(images.gnu, labels=LABELS) as gnu,
        run_container(images.busybox, labels=LABELS) as busybox,
        run_container(images.bare, labels=LABELS) as bare,
    ):
        found = examined(place, docker_host)
    assert found["engine"]["health"] == "ok"
    assert found[f"tar {gnu.name}"]["detail"].startswith("tar (GNU tar)")
    assert "busybox" in found[f"tar {busybox.name}"]["detail"].lower()
    assert "no tar" in found[f"tar {bare.name}"]["detail"]
    assert {found[f"tar {one.name}"]["health"] for one in (gnu, busybox, bare)} == {"ok"}
    # the sample cell names containers that nobody has started
    missing = [check for name, check in found.items() if name.startswith("tar ") and check["health"] == "warn"]
    assert missing
    assert all("There is no container" in check["detail"] for check in missing)
