"""A house of one's own, for what would disturb others: rules that remove backups, and what is done by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser.house import House
from tests.support.service import running_service, sample_place
from tests.support.waiting import eventually


@contextmanager
def quiet_house(**settings: Any) -> Iterator[House]:
    """Run a service without an engine: `house.backup(label, services=[])` succeeds, with volumes it is partial."""
    with sample_place() as place, running_service(place, regenerate="off", **settings) as client:
        eventually(lambda: client._http.get("/ready").is_success, what="the worker is there")
        yield House(place, client, prefix="")
