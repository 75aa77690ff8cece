from collections.abc import Iterator

import pytest

from tests.support.service import Place, sample_place


@pytest.fixture
def place() -> Iterator[Place]:
    """Give a sample cell of this test's own."""
    with sample_place() as made:
        yield made
