import os
import pty
import re
import shlex
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.api.jobs import JobDocument
from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.demo.story import check_succeeded
from app.errors import Code, JobError
from app.jobs.records import Job, JobFault, JobKind, JobState
from app.telling.exits import Exit
from tests.support.demo import Demo, demo_place
from tests.support.docker_engine import Images, RunContainer, docker
from tests.support.service import CLI

VOLUMES = ("calendar/collections", "mail/mailboxes")
COMPONENTS = ("vault", "identity", "web", "access", "credentials", "rest")


Finished = tuple[Demo, subprocess.CompletedProcess[str]]


@pytest.fixture
def demo() -> Iterator[Demo]:
    with demo_place() as made:
        yield made


@pytest.fixture(scope="module")
def finished() -> Iterator[Finished]:
    """Give a demo that ran without an engine, in a pipe."""
    with demo_place() as place:
        yield place, place.run()


@pytest.fixture
def engine(docker_host: str) -> dict[str, str]:
    """Give what points the demo at the engine, with the docker command's own settings out of the way."""
    return {"DOCKER_HOST": docker_host}


def commands(output: str) -> list[list[str]]:
    """Give the commands that the last lines of the demo tell its user to run."""
    _, _, closing = output.partition("look inside:\n")
    return [shlex.split(line) for line in closing.splitlines() if line.startswith("   ")]


def rows(output: str) -> dict[str, list[str]]:
    """Give the table by component or volume."""
    words = [line.split(maxsplit=1) for line in output.splitlines() if line.startswith("  ")]
    return {row[0]: re.split(r" {2,}", row[1].strip()) for row in words if len(row) == 2}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def demo_things_on_the_engine(output: str) -> list[str]:
    """List what is still there of the containers, volumes and the image of one demo."""
    named = re.search(r"cell-demo-[0-9a-f]{8}-radicale", output)
    assert named is not None
    own = f"--filter=label=cell-backup-demo={named.group()}"
    left = (
        docker("ps", "--all", "--quiet", own),
        docker("volume", "ls", "--quiet", own),
        docker("images", "--quiet", f"cell-backup-demo:{named.group()}"),
    )
    return b"".join(left).decode().split()


def test_without_an_engine_the_cell_s_files_are_saved_and_the_rest_is_named_with_the_reason(finished: Finished) -> None:
    demo, done = finished

    assert (done.returncode, done.stderr) == (0, "")
    assert f"No Docker engine listens at {demo.home}/no-engine\n" in done.stdout
    table = rows(done.stdout)
    assert {name: table[name][0] for name in (*COMPONENTS, *VOLUMES)} == {
        **dict.fromkeys(COMPONENTS, "succeeded"),
        **dict.fromkeys(VOLUMES, "left out"),
    }
    assert all(int(table[name][1]) > 0 for name in COMPONENTS)


def test_the_cell_s_files_are_deleted_restored_and_found_the_same(finished: Finished) -> None:
    _, done = finished

    _, _, story = done.stdout.partition("6. The disaster: every file of the cell is deleted\n")
    assert re.search(r"restore: 100 %  succeeded\n", story)
    assert re.search(r"8\. Compared .*\n   \d\d files, folders and links of the cell are as they were:\n", story)


def test_what_stays_is_one_directory_with_archive_and_passphrase_for_their_owner_only(finished: Finished) -> None:
    demo, done = finished

    [kept] = demo.home.iterdir()
    files = {path.suffix: path for path in kept.iterdir()}
    assert sorted(files) == [".age", ".json", ".txt"]
    assert mode(kept) == 0o700
    assert {mode(path) for path in files.values()} == {0o600}
    assert f"The archive:     {files['.age']}\n" in done.stdout
    assert files[".txt"].read_text().strip() not in done.stdout


def test_the_commands_it_names_open_the_archive_and_remove_it(demo: Demo) -> None:
    verify, decrypt, listing, remove = commands(demo.run().stdout)

    verified = demo.run(*verify)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "whole" in verified.stdout
    assert demo.run(*decrypt).returncode == 0
    assert "config/api/cell_config.json\n" in demo.run(*listing).stdout
    assert demo.run(*remove).returncode == 0
    assert demo.left() == []


def test_settings_of_another_cell_stay_out_of_it(demo: Demo) -> None:
    done = demo.run(CELL_BACKUP_REDIS_URL="unix:///nowhere", CELL_BACKUP_API_TOKEN="another", CELL_BACKUP_PORT="1")

    assert (done.returncode, done.stderr) == (0, "")


def test_an_engine_s_address_that_cannot_be_used_is_named_and_hinders_nothing(demo: Demo) -> None:
    done = demo.run(DOCKER_HOST="ssh://somebody@elsewhere")

    assert (done.returncode, done.stderr) == (0, "")
    assert "DOCKER_HOST is 'ssh://somebody@elsewhere'" in done.stdout


@pytest.mark.engine
def test_with_an_engine_two_containers_are_saved_too_and_nothing_of_them_is_left(
    demo: Demo, engine: dict[str, str]
) -> None:
    done = demo.run(**engine)

    assert (done.returncode, done.stderr) == (0, "")
    table = rows(done.stdout)
    assert {name: table[name][0] for name in VOLUMES} == dict.fromkeys(VOLUMES, "succeeded")
    assert int(table["calendar/collections"][1]) == 41
    assert int(table["mail/mailboxes"][1]) > 100
    assert "every file of the cell is deleted, and everything in calendar/collections and mail/mailboxes" in done.stdout
    assert re.search(r"calendar/collections: 4\d files and folders, the same", done.stdout)
    assert re.search(r"mail/mailboxes: [12]\d\d files and folders, the same", done.stdout)
    _, decrypt, listing, _ = commands(done.stdout)
    assert demo.run(*decrypt).returncode == 0
    assert re.search(r"services/mail/mailboxes/home\.cell/ada/Maildir/cur/\d+\.M1P1", demo.run(*listing).stdout)
    assert demo_things_on_the_engine(done.stdout) == []


@pytest.mark.parametrize("until", ["3. The service runs", "7. POST"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(demo: Demo, number: signal.Signals, code: int, until: str) -> None:
    with demo.begin(until=until) as process:
        process.send_signal(number)

    assert process.returncode == code
    assert demo.left() == []
    assert demo.processes() == []


@pytest.mark.engine
@pytest.mark.parametrize("until", ["2. Two service containers", "   restore: .* volumes"])
def test_interrupted_it_leaves_no_container(demo: Demo, engine: dict[str, str], until: str) -> None:
    before = demo_containers()
    with demo.begin(until=until, **engine) as process:
        started = demo_containers() - before
        process.send_signal(signal.SIGINT)

    assert process.returncode == 130
    assert len(started) == 2
    assert not started & demo_containers()
    assert demo.left() == []
    for name in started:
        assert docker("images", "--quiet", f"cell-backup-demo:{name}") == b""


def demo_containers() -> set[str]:
    names = docker("ps", "--all", "--filter=label=cell-backup-demo", "--format={{.Names}}")
    return set(names.decode().split())


def test_a_service_that_cannot_start_ends_it_with_the_service_s_own_words(demo: Demo) -> None:
    deep = demo.home / ("long" * 25)
    deep.mkdir()

    done = demo.run(TMPDIR=str(deep))

    assert done.returncode == Exit.UNREACHABLE
    assert "CELL_BACKUP_STATE_DIR is too long" in done.stderr
    assert "cell-backup: The service ended before it had begun." in done.stderr
    assert list(deep.iterdir()) == []


@pytest.mark.engine
@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([], "there is no docker command"),
        (["docker"], "there is no busybox on this host"),
        (["docker", "ldd", "sh", "busybox=ls"], "is not static"),
    ],
)
def test_without_the_tools_for_containers_it_says_which_one_is_missing(
    demo: Demo, engine: dict[str, str], tools: list[str], reason: str
) -> None:
    path = demo.home / "bin"
    path.mkdir()
    for tool in tools:
        name, _, other = tool.partition("=")
        path.joinpath(name).symlink_to(shutil.which(other or name) or other)

    done = demo.run(PATH=str(path), **engine)

    assert (done.returncode, done.stderr) == (0, "")
    assert reason in done.stdout


@pytest.mark.engine
def test_a_container_whose_labels_claim_the_same_service_is_not_touched(
    demo: Demo, engine: dict[str, str], run_container: RunContainer, images: Images
) -> None:
    labels = {"cell-backup.volumes": "/vol", "cell-backup.service": "mail"}
    with run_container(images.busybox, labels=labels) as theirs:
        done = demo.run(**engine)

        assert theirs.sh("echo here") == "here\n"
    assert done.returncode == 0
    assert f"{theirs.name} of this host would become part of the sample cell" in done.stdout
    assert rows(done.stdout)["mail/mailboxes"][0] == "left out"


def test_on_a_terminal_it_draws_a_bar_and_gives_the_cursor_back(demo: Demo) -> None:
    ours, theirs = pty.openpty()
    environment = demo.environment(TERM="xterm", COLUMNS="120")
    with subprocess.Popen((*CLI, "demo"), env=environment, cwd="/", stdin=theirs, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # how Linux says that nobody has the other end open any more
            while piece := os.read(ours, 65536):
                screen += piece
        os.close(ours)

    assert run.returncode == 0
    assert re.search(r"backup .*━.*100%.*succeeded", screen.decode())
    assert screen.rfind(b"\x1b[?25h") > screen.rfind(b"\x1b[?25l") > 0


def ended(state: JobState, *, error: JobFault | None = None, parts: tuple[PartResult, ...] = ()) -> JobDocument:
    now = datetime.now(UTC)
    return JobDocument.of(Job("0" * 32, JobKind.BACKUP, state, now, "backup-1", components=parts, error=error))


def test_a_partial_backup_is_a_failure_that_names_the_volume() -> None:
    part = Part(PartKind.VOLUME, "mailboxes", service="mail")
    result = PartResult(part, PartOutcome.FAILED, error=PartFault(Code.TAR_FAILED, "tar exited with 2.", ""))

    with pytest.raises(JobError) as raised:
        check_succeeded(ended(JobState.PARTIAL, parts=(result,)))

    assert raised.value.message == "The backup ended as 'partial'. mail/mailboxes: tar exited with 2."


def test_a_failed_job_s_own_words_are_passed_on() -> None:
    with pytest.raises(JobError) as raised:
        check_succeeded(ended(JobState.FAILED, error=JobFault("disk_full", "No room.", "Make some.")))

    error = raised.value
    assert (error.code, error.message, error.hint) == (Code.DISK_FULL, "The backup failed: No room.", "Make some.")
