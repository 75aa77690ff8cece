"""What the help of a command says of its options."""

import pytest

from app.cli import build_parser


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        build_parser().parse_args([command, "--help"])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["backup", "restore", "verify", "contents", "decrypt", "rewrap"])
def test_each_way_to_give_a_passphrase_says_whose_it_is(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = help_of(command, capsys)
    assert "--passphrase-file FILE take the passphrase from the first line of this file" in told
    assert "--passphrase-fd N take the passphrase from this descriptor: 3 for 3<FILE" in told


def test_the_new_passphrase_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    told = help_of("rewrap", capsys)
    assert "--new-passphrase-file FILE take the new passphrase from the first line of this file" in told
    assert "--new-passphrase-fd N take the new passphrase from this descriptor: 3 for 3<FILE" in told


def test_retention_is_either_set_or_reset(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = build_parser().parse_args(["retention", "--reset", "--keep-last", "3"])
    with pytest.raises(SystemExit) as ended:
        parsed.run(parsed)
    assert ended.value.code == 2
    assert "--reset: not allowed with" in capsys.readouterr().err
