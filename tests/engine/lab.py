"""An engine and containers of every kind, for tests that write volumes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.engine.docker import DockerEngine
from tests.support.docker_engine import Images, RunContainer, TestContainer, docker


@dataclass(frozen=True, slots=True)
class Lab:
    """An engine, and containers of every kind for it."""

    engine: DockerEngine
    images: Images
    run_container: RunContainer

    @contextmanager
    def made(self, kind: str, more: Sequence[str] = ()) -> Iterator[TestContainer]:
        image = {"busybox": self.images.busybox, "bare": self.images.bare}.get(kind, self.images.gnu)
        with self.run_container(image, more=more) as container:
            quiesce(kind, container)
            yield container


def quiesce(kind: str, container: TestContainer) -> None:
    if kind in {"stopped", "paused"}:
        docker({"stopped": "stop", "paused": "pause"}[kind], container.name)
