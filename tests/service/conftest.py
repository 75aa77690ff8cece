from collections.abc import Iterator

import pytest

from tests.support.dav_servers import made_image
from tests.support.service import Place, sample_place


@pytest.fixture
def place() -> Iterator[Place]:
    """Give a sample cell of this test's own."""
    with sample_place() as made:
        yield made


@pytest.fixture(scope="session")
def server_image(docker_host: str) -> Iterator[str]:
    """Give the image of the servers that the round trip fills and reads back."""
    del docker_host
    with made_image() as name:
        yield name
