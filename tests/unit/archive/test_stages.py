"""Work in a thread behind a bounded queue: in order, bounded, and never waiting for ever."""

import threading

import pytest

from app.archive.stages import Stage
from tests.support.waiting import eventually


class OddError(Exception):
    """Something that only a test raises."""


def stage_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("test-stage")]


def test_items_are_worked_on_in_order_and_all_of_them() -> None:
    done: list[int] = []
    with Stage[int]("test-stage", done.append) as stage:
        for item in range(1000):
            stage.put(item)

    assert done == list(range(1000))
    assert stage_threads() == []


def test_work_is_done_in_a_thread_of_its_own() -> None:
    names: list[str] = []
    with Stage[int]("test-stage-x", lambda _: names.append(threading.current_thread().name)) as stage:
        stage.put(1)

    assert names == ["test-stage-x"]


def test_putting_waits_while_the_queue_is_full() -> None:
    gate = threading.Event()
    put: list[int] = []

    def producer(stage: Stage[int]) -> None:
        for item in range(100):
            stage.put(item)
            put.append(item)

    def work(_: int) -> None:
        gate.wait()

    with Stage[int]("test-stage", work) as stage:
        thread = threading.Thread(target=producer, args=(stage,), daemon=True)
        thread.start()
        try:
            eventually(stage._queue.full, what="the queue is full")
            waiting = len(put)
        finally:
            gate.set()
            thread.join()

    assert waiting <= 5
    assert len(put) == 100


def test_an_error_comes_out_of_put_and_nothing_more_is_worked_on() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        if item == 3:
            raise OddError(str(item))
        done.append(item)

    def put_all() -> None:
        with Stage[int]("test-stage", work) as stage:
            for item in range(1000):
                stage.put(item)

    with pytest.raises(OddError, match="3"):
        put_all()

    assert done == [0, 1, 2]
    assert stage_threads() == []


def test_an_error_in_the_last_item_comes_out_of_close() -> None:
    def work(_: int) -> None:
        raise OddError

    stage = Stage[int]("test-stage", work)
    stage.put(1)
    with pytest.raises(OddError):
        stage.close()

    assert stage_threads() == []


def test_a_worker_that_fails_while_the_queue_is_full_lets_everybody_go_on() -> None:
    gate = threading.Event()

    def work(_: int) -> None:
        gate.wait()
        raise OddError

    errors: list[OddError] = []

    def producer(stage: Stage[int]) -> None:
        try:
            for _ in range(100_000):
                stage.put(1)
        except OddError as error:
            errors.append(error)

    stage = Stage[int]("test-stage", work)
    thread = threading.Thread(target=producer, args=(stage,), daemon=True)
    thread.start()
    try:
        eventually(stage._queue.full, what="the queue is full")
    finally:
        gate.set()
    thread.join(30)
    assert not thread.is_alive()
    assert len(errors) == 1
    with pytest.raises(OddError):
        stage.close()
    assert stage_threads() == []


def test_an_error_in_the_block_drops_what_waits_and_ends_the_thread() -> None:
    gate = threading.Event()
    done: list[int] = []

    def work(item: int) -> None:
        gate.wait()
        done.append(item)

    def fail_in_block() -> None:
        with Stage[int]("test-stage", work) as stage:
            for item in range(5):
                stage.put(item)
            # the thread waits at the gate until the block's end has told it to drop the rest
            threading.Thread(target=open_when_dropping, args=(stage, gate)).start()
            raise OddError

    with pytest.raises(OddError):
        fail_in_block()

    assert done in ([], [0])
    assert stage_threads() == []


def open_when_dropping(stage: Stage[int], gate: threading.Event) -> None:
    eventually(lambda: stage._dropping, what="the stage drops its items")
    gate.set()


def test_the_error_of_the_block_is_what_comes_out() -> None:
    def work(_: int) -> None:
        raise ValueError("of the work")

    def fail_in_block() -> None:
        with Stage[int]("test-stage", work) as stage:
            stage.put(1)
            raise OddError

    with pytest.raises(OddError):
        fail_in_block()


def test_a_cancelled_thread_s_exit_is_an_error_too() -> None:
    def work(_: int) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit), Stage[int]("test-stage", work) as stage:
        stage.put(1)
