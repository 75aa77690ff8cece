"""The first line of an encrypted archive, held against the stock Scrypt and Fernet."""

import base64
import json
import unicodedata
from io import BytesIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.archive import envelope as envelope_module
from app.archive.envelope import MAX_LINE, Envelope, new_envelope, normalised, parse_envelope, read_envelope
from app.errors import ArchiveError, Code, InputError
from tests.unit.archive.archives import PASSPHRASE

ENVELOPE, DATA_KEY = new_envelope(PASSPHRASE, scrypt_n=2**10)


def line_with(**slot: object) -> str:
    """Give a good first line with something else in its slot."""
    raw = json.loads(ENVELOPE.to_line())
    raw["slots"][0].update(slot)
    return json.dumps(raw)


def code_of(line: str | bytes, passphrase: str = PASSPHRASE) -> Code:
    with pytest.raises(ArchiveError) as caught:
        parse_envelope(line).open(passphrase)
    return caught.value.code


def stock_key(slot: dict[str, Any], passphrase: str) -> Fernet:
    """Derive a wrapping key as the lines in docs/format.md do."""
    scrypt = Scrypt(salt=base64.b64decode(slot["salt"]), length=32, n=slot["n"], r=slot["r"], p=slot["p"])
    return Fernet(base64.urlsafe_b64encode(scrypt.derive(unicodedata.normalize("NFC", passphrase).encode())))


def test_stock_scrypt_and_fernet_open_the_slot() -> None:
    line = json.loads(ENVELOPE.to_line())
    (slot,) = line["slots"]

    assert (line["format"], line["version"], line["chunk"]) == ("cell-backup", 1, 1 << 20)
    assert (slot["kdf"], slot["n"], slot["r"], slot["p"]) == ("scrypt", 2**10, 8, 1)
    assert bytes.fromhex(line["id"]) == ENVELOPE.archive_id
    assert stock_key(slot, PASSPHRASE).decrypt(slot["key"]) == DATA_KEY


def test_a_slot_that_stock_parts_made_is_opened() -> None:
    slot = {"kdf": "scrypt", "n": 2**11, "r": 4, "p": 2, "salt": base64.b64encode(b"0123456789abcdef").decode()}
    slot["key"] = stock_key(slot, "other").encrypt(DATA_KEY).decode()

    assert parse_envelope(line_with(**slot)).open("other") == DATA_KEY


def test_two_envelopes_have_nothing_in_common() -> None:
    other, key = new_envelope(PASSPHRASE, scrypt_n=2**10)

    assert key != DATA_KEY
    assert other.archive_id != ENVELOPE.archive_id
    assert other.slots[0].salt != ENVELOPE.slots[0].salt


def test_any_of_several_passphrases_opens() -> None:
    raw = json.loads(ENVELOPE.to_line())
    second = {**raw["slots"][0], "salt": base64.b64encode(b"other salt").decode()}
    second["key"] = stock_key(second, "second").encrypt(DATA_KEY).decode()
    raw["slots"].append(second)
    envelope = parse_envelope(json.dumps(raw))

    assert envelope.open(PASSPHRASE) == envelope.open("second") == DATA_KEY
    with pytest.raises(ArchiveError) as caught:
        envelope.open("third")
    assert caught.value.code == Code.PASSPHRASE_WRONG


def test_a_wrong_passphrase_is_called_wrong() -> None:
    for wrong in (PASSPHRASE + " ", PASSPHRASE.upper(), "x", "\0"):
        assert code_of(ENVELOPE.to_line(), wrong) == Code.PASSPHRASE_WRONG


def test_a_passphrase_typed_on_another_keyboard_opens() -> None:
    composed, decomposed = "Käse é Å", unicodedata.normalize("NFD", "Käse é Å")
    assert composed != decomposed

    envelope, key = new_envelope(decomposed, scrypt_n=2**10)

    assert envelope.open(composed) == key
    assert envelope.open("Käse é \u212b") == key


def test_an_empty_passphrase_is_asked_for() -> None:
    with pytest.raises(InputError) as caught:
        normalised("")
    assert caught.value.code == Code.PASSPHRASE_REQUIRED


def test_a_passphrase_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        normalised("\ud800")
    assert caught.value.code == Code.INVALID_REQUEST


@pytest.mark.parametrize(
    "slot",
    [
        {"n": 2**40},
        {"n": 2**21},
        {"n": 2**20, "r": 64},
        {"n": 2**20, "r": 9},
        {"r": 2**30},
        {"p": 2**30},
        {"n": 1000},
        {"n": 0},
        {"n": -(2**10)},
        {"r": 0},
        {"p": 0},
        {"n": 10**400},
    ],
    ids=str,
)
def test_a_key_derivation_beyond_the_bounds_is_refused_before_it_begins(
    slot: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope_module, "Scrypt", never)

    assert code_of(line_with(**slot)) in {Code.ARCHIVE_DAMAGED, Code.ARCHIVE_HOSTILE}


def never(**costs: object) -> None:
    raise AssertionError(f"a key was derived at {costs}")


def test_a_key_derivation_that_openssl_refuses_is_hostile() -> None:
    assert code_of(line_with(n=2**17, r=1)) == Code.ARCHIVE_HOSTILE


@pytest.mark.parametrize(
    "slot",
    [
        {"kdf": "pbkdf2"},
        {"n": "1024"},
        {"n": 1024.0},
        {"n": True},
        {"salt": ""},
        {"salt": "not base64!"},
        {"salt": "é"},
        {"salt": None},
        {"key": ""},
        {"key": "é"},
        {"key": "x" * 2000},
        {"key": "with space"},
    ],
    ids=str,
)
def test_a_slot_that_makes_no_sense_is_damage(slot: dict[str, object]) -> None:
    assert code_of(line_with(**slot)) == Code.ARCHIVE_DAMAGED


def test_a_slot_that_holds_something_other_than_a_key_is_damage() -> None:
    slot = json.loads(ENVELOPE.to_line())["slots"][0]
    token = stock_key(slot, PASSPHRASE).encrypt(b"no key").decode()

    assert code_of(line_with(key=token)) == Code.ARCHIVE_DAMAGED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 2}, Code.ARCHIVE_TOO_NEW),
        ({"version": 2, "slots": "of another kind"}, Code.ARCHIVE_TOO_NEW),
        ({"version": 0}, Code.ARCHIVE_DAMAGED),
        ({"version": -1}, Code.ARCHIVE_DAMAGED),
        ({"version": True}, Code.ARCHIVE_DAMAGED),
        ({"version": None}, Code.ARCHIVE_DAMAGED),
        ({"format": "age"}, Code.ARCHIVE_FOREIGN),
        ({"format": None}, Code.ARCHIVE_FOREIGN),
        ({"id": "0" * 31}, Code.ARCHIVE_DAMAGED),
        ({"id": "g" * 32}, Code.ARCHIVE_DAMAGED),
        ({"chunk": 0}, Code.ARCHIVE_DAMAGED),
        ({"chunk": 2**40}, Code.ARCHIVE_DAMAGED),
        ({"slots": []}, Code.ARCHIVE_DAMAGED),
        ({"slots": [{}] * 1000}, Code.ARCHIVE_DAMAGED),
        ({"slots": None}, Code.ARCHIVE_DAMAGED),
    ],
    ids=str,
)
def test_a_first_line_that_was_changed_says_why_it_is_refused(change: dict[str, object], code: Code) -> None:
    assert code_of(json.dumps({**json.loads(ENVELOPE.to_line()), **change})) == code


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b"\xff", b"age-encryption.org/v1", b"[" * 50_000, b"1" * 9000]
)
def test_what_is_no_first_line_is_foreign(line: bytes) -> None:
    assert code_of(line) == Code.ARCHIVE_FOREIGN


def test_the_first_line_is_read_and_the_file_left_behind_it() -> None:
    file = BytesIO(ENVELOPE.to_line().encode() + b"\nfirst token\n")

    assert read_envelope(file) == ENVELOPE
    assert file.read() == b"first token\n"


def test_a_first_line_without_an_end_is_foreign_and_never_read_whole() -> None:
    file = BytesIO(b"{" + b" " * (1 << 20))
    with pytest.raises(ArchiveError) as caught:
        read_envelope(file)

    assert caught.value.code == Code.ARCHIVE_FOREIGN
    assert file.tell() == MAX_LINE


def test_a_passphrase_is_in_no_representation() -> None:
    for shown in (repr(ENVELOPE), str(ENVELOPE), ENVELOPE.to_line()):
        assert PASSPHRASE not in shown
        assert DATA_KEY.decode() not in shown
    assert isinstance(ENVELOPE, Envelope)
