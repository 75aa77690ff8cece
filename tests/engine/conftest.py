import os
from collections.abc import AsyncIterator

import pytest

from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint


@pytest.fixture
async def engine(docker_host: str) -> AsyncIterator[DockerEngine]:
    endpoint = Endpoint.resolve({**os.environ, "DOCKER_HOST": docker_host})
    engine = DockerEngine(endpoint, stall_seconds=60)
    yield engine
    await engine.close()
