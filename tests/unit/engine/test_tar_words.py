import pytest

from app.engine.tar_command import Tar, TarKind
from app.engine.tar_words import TarWords
from app.errors import Code, PartError


def judged(words: str, exit_code: int, kind: TarKind) -> tuple[tuple[str, ...], bool]:
    judge = TarWords("cell-a", "/vol", kind)
    for byte in words.encode("utf-8", "surrogateescape"):
        judge.feed(bytes([byte]))
    end = judge.judge(exit_code)
    assert end.exit_code == exit_code
    return end.warnings, end.resumable


@pytest.mark.parametrize(
    ("kind", "exit_code", "words"),
    [
        (TarKind.GNU, 0, "tar: ./s: socket ignored\n"),
        (TarKind.GNU, 1, "tar: .: file changed as we read it\n"),
        (TarKind.GNU, 1, "tar: ./f: File shrank by 3 bytes; padding with zeros\n"),
        (TarKind.GNU, 1, "tar: ./f: File removed before we read it\n"),
        (TarKind.GNU, 1, "tar: ./f: some words of a later version\n"),
        (TarKind.GNU, 2, "tar: ./f: Cannot stat: No such file or directory\n"),
        (TarKind.BUSYBOX, 0, "tar: ./s: socket ignored\n"),
        (TarKind.BUSYBOX, 1, "tar: ./s: unknown file type\n"),
        (TarKind.BUSYBOX, 1, "tar: ./f: No such file or directory\n"),
        (TarKind.BUSYBOX, 1, "tar: can't open './f': No such file or directory\n"),
        (TarKind.OTHER, 0, "tar: whatever\n"),
    ],
)
def test_what_changed_or_cannot_be_kept_is_a_warning(kind: TarKind, exit_code: int, words: str) -> None:
    closing = {
        TarKind.GNU: "tar: Exiting with failure status due to previous errors\n",
        TarKind.BUSYBOX: "tar: error exit delayed from previous errors\n",
        TarKind.OTHER: "",
    }
    closed = words + (closing[kind] if exit_code else "")
    assert judged(closed, exit_code, kind) == ((words.removeprefix("tar: ").rstrip("\n"),), False)


@pytest.mark.parametrize(
    ("kind", "exit_code", "words"),
    [
        (TarKind.GNU, 2, "tar: ./f: Cannot open: Permission denied\n"),
        (
            TarKind.GNU,
            2,
            "tar: ./g: Cannot stat: No such file or directory\ntar: ./f: Cannot read: Input/output error\n",
        ),
        (TarKind.GNU, 2, ""),
        (TarKind.GNU, 137, "tar: ./s: socket ignored\n"),
        (TarKind.GNU, 143, ""),
        (TarKind.BUSYBOX, 1, "tar: can't open './f': Permission denied\n"),
        (TarKind.BUSYBOX, 1, "tar: short read\ntar: ./f: Input/output error\n"),
        (TarKind.BUSYBOX, 1, ""),
        (TarKind.OTHER, 1, "tar: whatever\n"),
        (TarKind.OTHER, 127, ""),
    ],
)
def test_data_that_is_missing_fails_the_volume_with_tars_words(kind: TarKind, exit_code: int, words: str) -> None:
    with pytest.raises(PartError) as raised:
        judged(words, exit_code, kind)
    assert raised.value.code is Code.TAR_FAILED
    assert raised.value.exit_code == exit_code
    assert str(exit_code) in raised.value.message
    assert words.splitlines()[-1:] == [] or words.splitlines()[-1].removeprefix("tar: ") in raised.value.message


@pytest.mark.parametrize(
    "words",
    [
        "tar: /vol: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now\n",
        "tar: /vol: Cannot open: Not a directory\ntar: Error is not recoverable: exiting now\n",
        "tar: can't change directory to '/vol': No such file or directory\n",
    ],
)
def test_a_path_that_is_not_there_is_told_apart(words: str) -> None:
    with pytest.raises(PartError) as raised:
        judged(words, 2, TarKind.GNU)
    assert raised.value.code is Code.VOLUME_MISSING


def test_a_short_read_asks_for_another_and_keeps_the_other_warnings() -> None:
    warnings, resumable = judged("tar: ./s: socket ignored\ntar: short read\n", 1, TarKind.BUSYBOX)
    assert resumable
    assert warnings == ("./s: socket ignored", "a file shrank while it was read, which ended tar")


def test_a_name_over_several_lines_is_one_warning_and_prints_safely() -> None:
    words = "tar: ./a\nb\x1b[31m\udcff: socket ignored\n"
    warnings, _ = judged(words, 0, TarKind.BUSYBOX)
    assert warnings == ("./a\\nb\\x1b[31m\\xff: socket ignored",)


def test_many_warnings_are_counted_not_kept() -> None:
    words = "".join(f"tar: ./s{number}: socket ignored\n" for number in range(1000))
    warnings, _ = judged(words, 0, TarKind.GNU)
    assert len(warnings) == 51
    assert warnings[0] == "./s0: socket ignored"
    assert warnings[-1] == "and 950 more"


def test_endless_words_without_a_newline_are_bounded() -> None:
    judge = TarWords("cell-a", "/vol", TarKind.GNU)
    for _ in range(1000):
        judge.feed(b"x" * 10_000)
    with pytest.raises(PartError) as raised:
        judge.judge(2)
    assert len(raised.value.message) < 2000


def test_the_kind_of_tar_is_told_from_its_help() -> None:
    assert Tar.from_help("BusyBox v1.35.0\n\nUsage: tar c|x|t\n").kind is TarKind.BUSYBOX
    assert not Tar.from_help("BusyBox v1.35.0\n\nUsage: tar c|x|t\n").excludes
    assert Tar.from_help("BusyBox v1.36\n --exclude PATTERN").excludes
    assert Tar.from_help("Usage: tar [OPTION...]\nGNU 'tar' saves many files").kind is TarKind.GNU
    assert Tar.from_help("tar(bsdtar): manipulate archive files").kind is TarKind.OTHER
    assert Tar.from_help(" \n").kind is TarKind.NONE


def test_patterns_and_paths_can_never_be_taken_for_options() -> None:
    for tar in (Tar(TarKind.GNU, excludes=True), Tar(TarKind.BUSYBOX, excludes=True), Tar(TarKind.OTHER)):
        words = tar.command("-/odd", ["--checkpoint-action=exec=x"])
        assert words[words.index("-C") + 1] == "-/odd"
        assert (
            "--checkpoint-action=exec=x" not in words
            or words[words.index("--checkpoint-action=exec=x") - 1] == "--exclude"
        )
