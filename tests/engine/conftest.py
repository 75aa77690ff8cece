import os
from collections.abc import AsyncIterator, Iterator

import pytest

from app.engine import writing
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.engine.helper import LABEL
from app.engine.target import Target
from tests.engine.lab import Lab
from tests.support.docker_engine import Images, RunContainer, docker


@pytest.fixture
async def engine(docker_host: str) -> AsyncIterator[DockerEngine]:
    endpoint = Endpoint.resolve({**os.environ, "DOCKER_HOST": docker_host})
    engine = DockerEngine(endpoint, stall_seconds=60)
    yield engine
    await engine.close()


@pytest.fixture
def lab(
    engine: DockerEngine, images: Images, run_container: RunContainer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lab]:
    """Give a lab in which no other container's image serves for a helper, whatever else runs on this engine."""

    async def images_of(_: object, target: Target) -> list[str]:
        return [target.image]

    monkeypatch.setattr(writing, "_images", images_of)
    yield Lab(engine, images, run_container)
    left = docker("ps", "--all", f"--filter=label={LABEL}={engine._owner}", "--format={{.Names}}")
    assert left == b""
