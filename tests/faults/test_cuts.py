"""A stream that is cut anywhere: one job with as many volumes as there are places to cut."""

import io
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from typing_extensions import override

from app.archive.parts import PartOutcome
from app.engine.base import VolumeStream
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.engine.memory import MemoryContainer, MemoryVolume
from app.errors import Code, PartError
from app.jobs.records import JobState
from tests.faults.house import House, add_service, tar_of
from tests.faults.proof import Proven, prove
from tests.support.fake_engine import FakeEngine, Fault

NOISE = Random(1).randbytes
FILES = {
    "one": NOISE(7000),
    "empty": b"",
    "long/" + "n" * 120: NOISE(512),
    "three": NOISE(12_345),
    "full": NOISE(10_240),
    "last": NOISE(1),
}
MAIL = tar_of(FILES)
FRAME = 16_384
HEAD = 8  # bytes before the payload of a frame


@dataclass(frozen=True, slots=True)
class Spot:
    """Say where a file's data lies in the stream."""

    name: str
    start: int
    end: int


def _spots() -> list[Spot]:
    with tarfile.open(fileobj=io.BytesIO(MAIL)) as tar:
        return [Spot(m.name, m.offset_data, m.offset_data + m.size) for m in tar if m.isreg()]


SPOTS = _spots()
END = SPOTS[-1].end // 512 * 512 + 512 + 1024  # behind the two blocks that end the archive
PLACES = sorted({*range(0, END, 97), *(at + by for at in range(0, END, 512) for by in (-1, 0, 1) if at + by >= 0)})


def install(house: House, places: Sequence[int]) -> None:
    """Give the service `mail` one volume a place."""
    add_service(house.root, "mail", *({"name": f"v{at}", "path": f"/v/{at}"} for at in places))


def expect(proven: Proven, at: int, came: int, codes: set[Code]) -> None:
    """Check what the archive has of a volume of whose stream so many bytes came."""
    found = proven.part(f"mail/v{at}")
    prefix = f"services/mail/v{at}/"
    assert found.outcome is PartOutcome.FAILED, at
    assert found.error is not None
    assert found.error.code in codes, at
    whole = {prefix + spot.name.removeprefix("./") for spot in SPOTS if spot.end <= came and spot.start <= came}
    cut = [prefix + spot.name.removeprefix("./") for spot in SPOTS if spot.start <= came < spot.end]
    assert list(found.damaged) == cut, at
    assert {name for name in proven.summed if name.startswith(prefix)} == whole, at
    for name in whole:
        assert proven.contents[name] == FILES[name.removeprefix(prefix)]


def test_the_stream_is_what_the_places_were_chosen_for() -> None:
    assert len(MAIL) > 30_000
    assert len(PLACES) > 400
    assert {b - a for a, b in pairwise(PLACES)} >= {1}


async def test_cut_anywhere_with_an_error(house: House) -> None:
    install(house, PLACES)
    broken = PartError(Code.STREAM_CUT, "It was cut.")
    volumes = {f"/v/{at}": MemoryVolume(MAIL, fault=broken, fault_at=at) for at in PLACES}
    house.machines["cell-mail"] = MemoryContainer(volumes)
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    proven = prove(house)
    for at in PLACES:
        expect(proven, at, at, {Code.STREAM_CUT})


async def test_cut_anywhere_as_if_that_were_its_end(house: House) -> None:
    """The engine says that all went well; only the missing end of the archive tells."""
    install(house, PLACES)
    house.machines["cell-mail"] = MemoryContainer({f"/v/{at}": MemoryVolume(MAIL[:at]) for at in PLACES})
    job = await house.back_up()
    assert job.state is JobState.PARTIAL
    proven = prove(house)
    for at in PLACES:
        expect(proven, at, at, {Code.STREAM_CUT})


async def test_cut_behind_its_end_of_archive_is_no_cut(house: House) -> None:
    places = [END, END + 1, len(MAIL) - 1]
    install(house, places)
    house.machines["cell-mail"] = MemoryContainer({f"/v/{at}": MemoryVolume(MAIL[:at]) for at in places})
    job = await house.back_up()
    assert job.state is JobState.SUCCEEDED
    assert prove(house).contents[f"services/mail/v{END}/last"] == FILES["last"]


class CuttingEngine(DockerEngine):
    """Tell the fake engine before each volume where to cut."""

    def __init__(self, fake: FakeEngine, *, reset: bool) -> None:
        super().__init__(Endpoint.resolve({"DOCKER_HOST": fake.docker_host}), stall_seconds=20)
        self._fake = fake
        self._reset = reset

    @override
    @asynccontextmanager
    async def read_volume(
        self, container: str, path: str, *, exclude: Sequence[str] = ()
    ) -> AsyncIterator[VolumeStream]:
        self._fake.fault = Fault(cut_at=int(path.rpartition("/")[2]), reset=self._reset, payload=FRAME)
        async with super().read_volume(container, path, exclude=exclude) as stream:
            yield stream


def came_of(raw: int) -> int:
    """Count the bytes of tar in so many bytes of the engine's stream."""
    frames, rest = divmod(raw, HEAD + FRAME)
    return frames * FRAME + max(0, rest - HEAD)


def raw_places(step: int) -> list[int]:
    """Give places in the engine's stream: every so many bytes, and around headers of frames and of members."""
    frames = range(0, END, HEAD + FRAME)
    borders = [*frames, *(at + HEAD for at in frames), *(s.start // FRAME * HEAD + HEAD + s.start for s in SPOTS)]
    return sorted({*range(0, END, step), *(at + by for at in borders for by in (-1, 0, 1) if at + by >= 0)})


@pytest.mark.parametrize(("reset", "step"), [(False, 97), (True, 291)])
async def test_the_engine_goes_away_anywhere(house: House, tmp_path: Path, *, reset: bool, step: int) -> None:
    places = raw_places(step)
    install(house, places)
    async with FakeEngine(None if reset else tmp_path / "engine.sock") as fake:
        fake.add_container("cell-mail", {f"/v/{at}": MAIL for at in places})
        engine = CuttingEngine(fake, reset=reset)
        house.engine = engine
        try:
            job = await house.back_up()
        finally:
            await engine.close()
    assert job.state is JobState.PARTIAL
    proven = prove(house)
    assert proven.contents["data/vault/ca.key"] == b"vault"
    for at in places:
        found = proven.part(f"mail/v{at}")
        if reset:  # what the kernel had not handed over yet is lost
            assert found.outcome is PartOutcome.FAILED
            assert len(found.damaged) <= 1
        else:
            expect(proven, at, came_of(at), {Code.STREAM_CUT})
