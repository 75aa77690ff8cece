"""Writing when it breaks: the fake engine stalls, cuts and ends early, as a real one does on a bad day."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.engine.base import Way, WriteEnd
from app.engine.docker import DockerEngine
from app.engine.write_words import WriteWords
from app.errors import Code, PartError
from tests.engine.writing import NOT_FLUSHED, packed, pour, write_all
from tests.support.fake_engine import FakeEngine, Fault, Taking
from tests.unit.engine.test_faults import engine_of

DATA = packed({"file": bytes(range(256)) * 8000, "more": b"x" * 5000})
OLD = packed({"old": b"1"})


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    async with FakeEngine(tmp_path / "engine.sock") as fake:
        fake.add_container("cell-a", {"/vol": OLD})
        yield fake


@pytest.fixture
async def engine(fake: FakeEngine) -> AsyncIterator[DockerEngine]:
    engine = engine_of(fake)
    yield engine
    await engine.close()


@pytest.fixture(params=["running", "exited", "bare"])
def state(request: pytest.FixtureRequest, fake: FakeEngine) -> str:
    """Bring the container into the state in which it is written by its tar, by a helper, by the archive endpoint."""
    if request.param == "bare":
        fake.containers["cell-a"].volumes["/vol"] = b""
        fake.add_container("cell-b", {}, tar="none")
        fake.containers["cell-a"].tar = "none"
        fake.no_helpers = True
    else:
        fake.containers["cell-a"].state = request.param
    return str(request.param)


WAYS = {"running": Way.EXEC, "exited": Way.HELPER, "bare": Way.ARCHIVE}


async def failed(engine: DockerEngine, data: bytes = DATA, *, empty: bool = True) -> PartError:
    with pytest.raises(PartError) as raised:
        await write_all(engine, "cell-a", data, empty=empty, piece=100_000)
    return raised.value


@pytest.mark.parametrize("piece", [7000, 1 << 20])
async def test_every_byte_arrives_in_order(fake: FakeEngine, engine: DockerEngine, state: str, piece: int) -> None:
    written = await write_all(engine, "cell-a", DATA, piece=piece)
    assert written.way is WAYS[state]
    assert written.end == (WriteEnd(None, (NOT_FLUSHED,)) if state == "bare" else WriteEnd(0))
    assert fake.containers["cell-a"].written == {"/vol": DATA}
    assert fake.containers["cell-a"].emptied == ([] if state == "bare" else ["/vol"])
    assert sorted(fake.containers) == (["cell-a", "cell-b"] if state == "bare" else ["cell-a"])


async def test_an_overlay_empties_nothing(fake: FakeEngine, engine: DockerEngine) -> None:
    await write_all(engine, "cell-a", DATA, empty=False)
    assert fake.containers["cell-a"].emptied == []


async def test_a_path_that_is_missing_is_told_before_anything_is_emptied(
    fake: FakeEngine, engine: DockerEngine
) -> None:
    with pytest.raises(PartError) as raised:
        await write_all(engine, "cell-a", DATA, "/nowhere")
    assert raised.value.code is Code.VOLUME_MISSING
    assert fake.containers["cell-a"].emptied == []


@pytest.mark.usefixtures("state")
async def test_a_write_that_is_not_taken_is_given_up_and_names_the_container(fake: FakeEngine) -> None:
    fake.taking = Taking(takes=300_000, then="stall")
    engine = engine_of(fake, stall_seconds=0.3)
    error = await failed(engine)
    assert error.code is Code.STREAM_STALLED
    assert "cell-a" in error.message
    assert not [name for name in fake.containers if name.startswith("helper")]
    await engine.close()


@pytest.mark.usefixtures("state")
async def test_an_end_that_never_comes_is_given_up(fake: FakeEngine) -> None:
    fake.taking = Taking(takes=len(DATA), then="stall")
    engine = engine_of(fake, stall_seconds=0.3)
    error = await failed(engine)
    assert error.code is Code.STREAM_STALLED
    await engine.close()


@pytest.mark.parametrize("takes", [0, 1, 512, 300_000])
async def test_a_connection_that_is_cut_is_never_a_good_end(
    fake: FakeEngine, engine: DockerEngine, state: str, takes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.exec_stream._GRACE_SECONDS", 0.1)
    fake.taking = Taking(takes=takes, then="cut")
    error = await failed(engine)
    assert error.code is Code.STREAM_CUT, state
    assert "cell-a" in error.message


@pytest.mark.parametrize("takes", [0, 512, 300_000])
async def test_a_tar_that_ends_early_is_quoted_with_its_exit_code(
    fake: FakeEngine, engine: DockerEngine, takes: int
) -> None:
    fake.taking = Taking(takes=takes, last=b"tar: ./file: Cannot write: Input/output error\n", exit_code=2)
    error = await failed(engine)
    assert (error.code, error.exit_code) == (Code.TAR_FAILED, 2)
    assert "cell-a" in error.message
    assert "Input/output error" in error.message


@pytest.mark.usefixtures("state")
async def test_a_good_end_before_everything_was_taken_is_not_believed(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.taking = Taking(takes=300_000)
    async with engine.write_volume("cell-a", "/vol", empty=True) as sink:
        for ask in (asyncio.to_thread(pour, sink, DATA, 100_000), sink.end()):
            with pytest.raises(PartError) as raised:
                await ask
            assert raised.value.code is Code.STREAM_CUT


@pytest.mark.parametrize("state", ["running", "bare"], indirect=True)
async def test_what_pads_the_end_of_the_archive_may_be_left_untaken(
    fake: FakeEngine, engine: DockerEngine, state: str
) -> None:
    fake.taking = Taking(takes=len(DATA))
    written = await write_all(engine, "cell-a", DATA + bytes(4 << 20), piece=len(DATA))
    assert written.way is WAYS[state]


async def test_a_tar_that_complains_without_end_does_not_stop_the_write(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.taking = Taking(stderr=b"".join(b"tar: ./%d: odd\n" % number for number in range(200_000)))
    written = await write_all(engine, "cell-a", DATA)
    assert len(written.end.warnings) == 51
    assert written.end.warnings[-1] == "and 199950 more"


async def test_a_full_disk_is_told_as_such_by_the_archive_endpoint(fake: FakeEngine, engine: DockerEngine) -> None:
    fake.containers["cell-a"].tar, fake.no_helpers = "none", True
    fake.containers["cell-a"].volumes["/vol"] = b""
    for takes in (100_000, None):
        fake.taking = Taking(takes=takes, status=500, message="write /vol/file: no space left on device")
        error = await failed(engine)
        assert error.code is Code.VOLUME_FULL
        assert "cell-a" in error.message


async def test_an_engine_that_goes_away_at_any_call_leaves_an_error_that_tells_whether_anything_changed(
    fake: FakeEngine, engine: DockerEngine, state: str
) -> None:
    await write_all(engine, "cell-a", DATA)
    calls = len(fake.requests)
    assert calls > 5
    for answered in range(calls):
        fake.requests.clear()
        for name in [name for name in fake.containers if name.startswith("helper")]:
            del fake.containers[name]
        one = fake.containers["cell-a"]
        one.emptied.clear()
        one.written.clear()
        fake.fault = Fault(gone_after=answered)
        fresh = engine_of(fake)
        untouched = await write_or_tell(fresh) in {
            Code.ENGINE_UNREACHABLE,
            Code.CONTAINER_MISSING,
            Code.VOLUME_MISSING,
        }
        assert not (untouched and (one.emptied or one.written)), (state, answered)
        await fresh.close()


async def write_or_tell(engine: DockerEngine) -> Code | None:
    try:
        await write_all(engine, "cell-a", DATA)
    except PartError as error:
        return error.code
    return None


async def test_a_cancelled_writer_ends_the_process_and_removes_the_helper(
    fake: FakeEngine, engine: DockerEngine
) -> None:
    fake.containers["cell-a"].state = "exited"
    opened = asyncio.Event()

    async def write() -> None:
        async with engine.write_volume("cell-a", "/vol", empty=True):
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await opened.wait()
    assert len(fake.containers) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(fake.containers) == ["cell-a"]


def test_words_are_kept_in_bounds_and_the_reason_stays() -> None:
    words = WriteWords("cell-a")
    words.feed(b"tar: ./a: Cannot write: No space left on dev")
    words.feed(b"ice\n" + b"tar: ./b: Cannot open: \xff\n" * 10_000)
    with pytest.raises(PartError) as raised:
        words.judge(2)
    assert raised.value.code is Code.VOLUME_FULL
    assert "./a: Cannot write: No space left on device" in raised.value.message
    assert len(raised.value.message) < 1000


def test_words_of_a_cut_stream_are_no_success_whatever_the_exit_code() -> None:
    words = WriteWords("cell-a")
    words.feed(b"tar: short read\n")
    with pytest.raises(PartError) as raised:
        words.judge(0)
    assert raised.value.code is Code.STREAM_CUT
