import os
import subprocess

from app.engine.owner import lives, this_process


def test_this_process_lives_and_has_many_names() -> None:
    one, other = this_process(), this_process()
    assert one != other
    assert lives(one)
    assert lives(other)


def test_a_process_that_ended_does_not_live_nor_does_another_with_its_number() -> None:
    namespace, pid, start, name = this_process().split(".")
    assert not lives(f"{namespace}.{pid}.{int(start) + 1}.{name}")
    assert not lives(f"{int(namespace) + 1}.{pid}.{start}.{name}")
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert ended.pid != os.getpid()
    assert not lives(f"{namespace}.{ended.pid}.{start}.{name}")


def test_what_is_no_name_does_not_live() -> None:
    for owner in ("", "1", "a.b.c.d", "0.../../1.1.x", f"{this_process().split('.')[0]}.x.."):
        assert not lives(owner)
