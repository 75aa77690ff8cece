"""The content of an encrypted archive: made for stock Fernet, and safe against whatever happens to its chunks."""

import base64
import os
from collections.abc import Callable
from io import BytesIO

import pytest
from cryptography.fernet import Fernet

from app.archive.encryption import EncryptingSink, decrypt
from app.archive.envelope import Envelope, read_envelope
from app.errors import ArchiveError, Code
from tests.unit.archive.archives import small_lock
from tests.unit.archive.support import Output

CHUNK = 1000
LOCK = small_lock(CHUNK)
CONTENT = os.urandom(3 * CHUNK + 500)


def encrypted(content: bytes, piece: int = 1 << 20, envelope: Envelope = LOCK.envelope) -> list[bytes]:
    """Encrypt in pieces; gives the lines."""
    output = Output()
    sink = EncryptingSink(output.write, envelope, LOCK.data_key)
    for at in range(0, len(content), piece):
        sink.write(content[at : at + piece])
    sink.finish()
    return bytes(output.data).splitlines(keepends=True)


HEAD, *TOKENS = encrypted(CONTENT)


def decrypted(data: bytes) -> bytes:
    file = BytesIO(data)
    return b"".join(decrypt(file, read_envelope(file), LOCK.data_key))


def refusal(data: bytes) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        decrypted(data)
    return caught.value


def token(content: bytes, index: int, last: int, archive_id: bytes = LOCK.envelope.archive_id) -> bytes:
    """Make a chunk by stock Fernet."""
    return Fernet(LOCK.data_key).encrypt(archive_id + index.to_bytes(8, "big") + bytes([last]) + content) + b"\n"


def test_stock_fernet_opens_every_token() -> None:
    fernet = Fernet(LOCK.data_key)
    opened = [fernet.decrypt(line.rstrip(b"\n")) for line in TOKENS]

    assert b"".join(plain[25:] for plain in opened) == CONTENT
    assert [plain[:16] for plain in opened] == [LOCK.envelope.archive_id] * 4
    assert [int.from_bytes(plain[16:24], "big") for plain in opened] == [0, 1, 2, 3]
    assert [plain[24] for plain in opened] == [0, 0, 0, 1]


def test_tokens_of_stock_fernet_are_read() -> None:
    assert decrypted(HEAD + token(b"a" * CHUNK, 0, 0) + token(b"b", 1, 1)) == b"a" * CHUNK + b"b"


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 1), (1, 1), (CHUNK - 1, 1), (CHUNK, 1), (CHUNK + 1, 2), (2 * CHUNK, 2), (2 * CHUNK + 1, 3)]
)
@pytest.mark.parametrize("piece", [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 1 << 20])
def test_content_of_any_length_in_any_pieces_comes_back(size: int, chunks: int, piece: int) -> None:
    content = CONTENT[:size]
    lines = encrypted(content, piece)

    assert len(lines) == 1 + chunks
    assert decrypted(b"".join(lines)) == content


def test_nothing_of_a_chunk_is_given_before_it_is_authentic() -> None:
    damaged = bytearray(TOKENS[1])
    damaged[-10] ^= 1
    file = BytesIO(HEAD + TOKENS[0] + damaged + b"".join(TOKENS[2:]))
    pieces = decrypt(file, read_envelope(file), LOCK.data_key)

    assert next(pieces) == CONTENT[:CHUNK]
    with pytest.raises(ArchiveError):
        next(pieces)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        pytest.param(lambda t: t[:-1], Code.ARCHIVE_TRUNCATED, "after 3 chunks", id="the last one cut off"),
        pytest.param(lambda _: [], Code.ARCHIVE_TRUNCATED, "after 0 chunks", id="all cut off"),
        pytest.param(lambda t: t[1:], Code.ARCHIVE_DAMAGED, "Chunk 1 stands where chunk 0", id="the first one removed"),
        pytest.param(lambda t: [t[0], *t[2:]], Code.ARCHIVE_DAMAGED, "Chunk 2 stands where chunk 1", id="one removed"),
        pytest.param(lambda t: [t[1], t[0], *t[2:]], Code.ARCHIVE_DAMAGED, "Chunk 1 stands", id="two swapped"),
        pytest.param(lambda t: [t[0], t[0], *t[1:]], Code.ARCHIVE_DAMAGED, "Chunk 0 stands", id="one repeated"),
        pytest.param(lambda t: [*t, t[-1]], Code.ARCHIVE_DAMAGED, "follows the last", id="the last one repeated"),
        pytest.param(lambda t: [*t, b"\n"], Code.ARCHIVE_DAMAGED, "follows the last", id="a line appended"),
        pytest.param(lambda t: [*t, b"x"], Code.ARCHIVE_DAMAGED, "follows the last", id="a byte appended"),
        pytest.param(lambda t: [*t, token(b"x", 4, 1)], Code.ARCHIVE_DAMAGED, "follows the last", id="one appended"),
        pytest.param(lambda t: [t[0], b"\n", *t[1:]], Code.ARCHIVE_DAMAGED, "Chunk 1", id="an empty line between"),
        pytest.param(lambda t: [b"x" * 9000 + b"\n", *t], Code.ARCHIVE_DAMAGED, "longer", id="a line that is too long"),
    ],
)
def test_chunks_are_complete_in_order_and_once(
    change: Callable[[list[bytes]], list[bytes]], code: Code, said: str
) -> None:
    error = refusal(HEAD + b"".join(change(list(TOKENS))))

    assert error.code == code
    assert said in error.message


@pytest.mark.parametrize(
    "foreign",
    [
        token(CONTENT[:CHUNK], 0, 0, os.urandom(16)),
        token(CONTENT[: CHUNK - 1], 0, 0),
        token(CONTENT[: CHUNK + 1], 0, 0),
        token(CONTENT[:CHUNK], 0, 2),
        token(CONTENT[:CHUNK], 2**63, 0),
        Fernet(LOCK.data_key).encrypt(b"short") + b"\n",
        Fernet(Fernet.generate_key()).encrypt(LOCK.envelope.archive_id + bytes(9) + CONTENT[:CHUNK]) + b"\n",
    ],
    ids=["of another archive", "too short", "too long", "odd flag", "odd index", "no head", "of another key"],
)
def test_a_chunk_that_does_not_belong_is_damage(foreign: bytes) -> None:
    assert refusal(HEAD + foreign + b"".join(TOKENS[1:])).code == Code.ARCHIVE_DAMAGED


def test_a_cut_anywhere_is_noticed() -> None:
    whole = HEAD + b"".join(TOKENS)
    borders = {len(HEAD) + sum(map(len, TOKENS[:n])) for n in range(len(TOKENS))}
    for cut in range(len(HEAD), len(whole), 37):
        assert refusal(whole[:cut]).code == Code.ARCHIVE_TRUNCATED, cut
    for cut in borders | {border - 1 for border in borders if border > len(HEAD)} | {len(whole) - 1}:
        assert refusal(whole[:cut]).code == Code.ARCHIVE_TRUNCATED, cut


def test_a_bit_flipped_anywhere_in_a_token_is_noticed() -> None:
    # base64 has spare bits in its last digit: flipping one of those changes no byte of the token
    line = TOKENS[0]
    for at in range(len(line)):
        flipped = bytearray(line)
        flipped[at] ^= 1 << at % 8
        data = HEAD + flipped + b"".join(TOKENS[1:])
        if at < len(line) - 1 and same_token(flipped, line):
            assert decrypted(data) == CONTENT
        else:
            assert refusal(data).code in {Code.ARCHIVE_DAMAGED, Code.ARCHIVE_TRUNCATED}, at


def same_token(one: bytes | bytearray, other: bytes) -> bool:
    if b"+" in one or b"/" in one:  # not of Fernet's alphabet, but Python's own decoder reads them as '-' and '_'
        return False
    try:
        return base64.urlsafe_b64decode(one) == base64.urlsafe_b64decode(other)
    except ValueError:
        return False


@pytest.mark.parametrize("region", [0, 1, 9, 25, 41, 49, 50, 600, -33, -32, -1])
def test_a_bit_flipped_in_any_region_of_a_token_is_noticed(region: int) -> None:
    # version, time, initial vector, archive id, index, flag, content, padding, signature
    raw = bytearray(base64.urlsafe_b64decode(TOKENS[0]))
    raw[region] ^= 4

    error = refusal(HEAD + base64.urlsafe_b64encode(raw) + b"\n" + b"".join(TOKENS[1:]))

    assert (error.code, error.message) == (Code.ARCHIVE_DAMAGED, "Chunk 0 is damaged.")


def test_a_first_line_of_another_archive_under_the_same_key_is_noticed() -> None:
    other = encrypted(CONTENT, envelope=Envelope(os.urandom(16), LOCK.envelope.slots, CHUNK))

    assert "another archive" in refusal(other[0] + b"".join(TOKENS)).message


def test_a_first_line_with_another_chunk_size_is_noticed() -> None:
    for size in (CHUNK - 1, CHUNK + 1, 16 << 20):
        line = Envelope(LOCK.envelope.archive_id, LOCK.envelope.slots, size).to_line().encode() + b"\n"
        assert refusal(line + b"".join(TOKENS)).code == Code.ARCHIVE_DAMAGED
