"""The steps of a long job, told in its result as they go."""

import pytest

from app.errors import Code, PartError
from tests.faults.house import House
from workers.running import JobRun
from workers.steps import Steps


async def run_in(house: House) -> JobRun:
    return JobRun(house.tools, await house.queue())


async def test_a_step_counts_what_was_read_in_it_alone(house: House) -> None:
    run = await run_in(house)
    steps = Steps(run)
    with steps.step("first"):
        run.meter.files, run.meter.bytes = 2, 30
    with steps.step("second"):
        run.meter.files, run.meter.bytes = 5, 70
    with steps.step("third"):
        pass
    assert run.result is not None
    told = [{key: value for key, value in step.items() if key != "seconds"} for step in run.result["steps"]]
    assert told == [
        {"stage": "first", "state": "succeeded", "files": 2, "bytes": 30},
        {"stage": "second", "state": "succeeded", "files": 3, "bytes": 40},
        {"stage": "third", "state": "succeeded"},
    ]
    assert all(step["seconds"] >= 0 for step in run.result["steps"])


async def test_a_running_step_is_in_the_record(house: House) -> None:
    run = await run_in(house)
    with Steps(run).step("first"):
        record = run._snapshot()
        assert record.stage == "first"
        assert record.result == {"steps": [{"stage": "first", "state": "running"}]}


async def test_the_record_is_no_longer_the_jobs_own_list(house: House) -> None:
    run = await run_in(house)
    steps = Steps(run)
    with steps.step("first"):
        record = run._snapshot()
    assert record.result == {"steps": [{"stage": "first", "state": "running"}]}


async def test_a_failed_step_says_why(house: House) -> None:
    run = await run_in(house)
    fault = PartError(Code.TAR_FAILED, "tar exited with 2.", hint="Look.")
    with pytest.raises(PartError), Steps(run).step("first"):
        raise fault
    assert run.result is not None
    (step,) = run.result["steps"]
    assert step["state"] == "failed"
    assert step["error"] == {"code": "tar_failed", "message": "tar exited with 2.", "hint": "Look."}


async def test_a_step_can_name_its_state_and_say_more(house: House) -> None:
    run = await run_in(house)
    with Steps(run).step("safety") as told:
        told["state"] = "skipped"
        told["size"] = 7
    assert run.result is not None
    (step,) = run.result["steps"]
    assert (step["state"], step["size"]) == ("skipped", 7)


async def test_what_is_done_aside_counts_in_its_step(house: House) -> None:
    run = await run_in(house)
    with Steps(run).step("safety"), run.aside(run.job) as inner:
        inner.meter.files, inner.meter.bytes = 3, 40
        assert run._snapshot().progress.bytes_done == 40
    assert run.result is not None
    (step,) = run.result["steps"]
    assert (step["files"], step["bytes"]) == (3, 40)
