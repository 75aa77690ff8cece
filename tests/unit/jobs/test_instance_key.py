import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.errors import Code, InputError
from app.jobs.instance_key import digest_under_key, load_instance_key

ROOT = Path(__file__).parents[3]

RACER = """
import sys
from pathlib import Path
from app.jobs.instance_key import load_instance_key
sys.stdin.read()
for number in range(int(sys.argv[2])):
    key = load_instance_key(Path(sys.argv[1]) / str(number))
    print((key._signing_key + key._encryption_key).hex())
"""


def _bytes(key: Fernet) -> bytes:
    return key._signing_key + key._encryption_key


def test_the_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    first = load_instance_key(state)
    assert _bytes(load_instance_key(state)) == _bytes(first)
    assert [path.name for path in state.iterdir()] == ["instance.key"]
    assert stat.S_IMODE((state / "instance.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_the_key_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_instance_key(tmp_path / "state")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state" / "instance.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_whoever_comes_second_takes_the_key_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_fsync = os.fsync
    seen: list[bool | bytes] = []

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real_fsync)
        seen.append((tmp_path / "instance.key").exists())
        seen.append(_bytes(load_instance_key(tmp_path)))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    late = load_instance_key(tmp_path)
    assert seen == [False, _bytes(late)]
    assert [path.name for path in tmp_path.iterdir()] == ["instance.key"]


def test_two_processes_that_start_at_once_get_one_key(tmp_path: Path) -> None:
    rounds = 150
    start, release = os.pipe()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, tmp_path, str(rounds)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=start,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    os.close(start)
    os.close(release)
    outputs = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0].split())) == rounds


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o700 | 0o010])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    load_instance_key(tmp_path)
    (tmp_path / "instance.key").chmod(mode)
    error = _refused(tmp_path)
    assert "0600" in error.message
    assert error.hint == f"chmod 600 {tmp_path / 'instance.key'}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    load_instance_key(tmp_path)
    os.chown(tmp_path / "instance.key", 65534, 65534)
    assert "belongs to user 65534" in _refused(tmp_path).message


def test_a_file_without_a_key_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "instance.key"
    path.touch(mode=0o600)
    assert "holds no key" in _refused(tmp_path).message
    assert path.read_bytes() == b""


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_instance_key(tmp_path / "other")
    (tmp_path / "instance.key").symlink_to(tmp_path / "other" / "instance.key")
    _refused(tmp_path)
    (tmp_path / "instance.key").unlink()
    (tmp_path / "instance.key").symlink_to(tmp_path / "nowhere")
    _refused(tmp_path)


def test_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "instance.key", 0o600)
    assert "no regular file" in _refused(tmp_path).message


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _refused(tmp_path / "file" / "state")


def _refused(state: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load_instance_key(state)
    assert caught.value.code is Code.INVALID_SETTING
    assert str(state) in caught.value.message
    return caught.value


def test_digests_are_the_same_again_and_differ_by_key_meaning_and_content(tmp_path: Path) -> None:
    given = [(tmp_path / "a", "x", b"y"), (tmp_path / "b", "x", b"y"), (tmp_path / "a", "z", b"y")]
    given += [(tmp_path / "a", "x", b""), (tmp_path / "a", "", b"x\0y")]
    digests = [digest_under_key(*arguments) for arguments in given]
    assert len(set(digests)) == len(given)
    assert [digest_under_key(*arguments) for arguments in given] == digests
