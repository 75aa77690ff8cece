"""Fernet tokens of our own making and opening, held against the stock `Fernet`."""

import base64
import hmac
import os
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import given, settings
from hypothesis import strategies as st

from app.archive.fernet import FernetDecoder, FernetEncoder, token_size

KEY = Fernet.generate_key()
STOCK = Fernet(KEY)


def opened(decoder: FernetDecoder, token: bytes) -> bytes:
    return bytes(decoder.decode(token + b"\n"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 40))
def test_stock_fernet_opens_what_is_made(content: bytes, spare: int) -> None:
    encoder = FernetEncoder(KEY, len(content) + spare)
    for plain in (content, content[: len(content) // 2], content):
        made = encoder.encode(memoryview(plain))
        assert STOCK.decrypt(made, ttl=60) == plain


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 40))
def test_what_stock_fernet_makes_is_opened(content: bytes, spare: int) -> None:
    decoder = FernetDecoder(KEY, len(content) + spare)
    for plain in (content, content[: len(content) // 2], content):
        assert opened(decoder, STOCK.encrypt(plain)) == plain


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000, 1 << 20])
def test_a_tokens_size_is_known_beforehand(size: int) -> None:
    assert token_size(size) == len(STOCK.encrypt(bytes(size)))
    assert opened(FernetDecoder(KEY, size), STOCK.encrypt(bytes(size))) == bytes(size)


IN_PLAIN_BASE64 = KEY.replace(b"-", b"+").replace(b"_", b"/")


@pytest.mark.parametrize("key", [KEY + b"\n", IN_PLAIN_BASE64], ids=["a line", "plain base64"])
def test_a_key_is_taken_as_the_stock_one_takes_it(key: bytes) -> None:
    assert opened(FernetDecoder(key, 10), Fernet(key).encrypt(b"x")) == b"x"
    assert Fernet(key).decrypt(FernetEncoder(key, 10).encode(memoryview(b"y"))) == b"y"


def test_no_two_tokens_are_alike() -> None:
    encoder = FernetEncoder(KEY, 100)

    assert len({encoder.encode(memoryview(b"same")) for _ in range(50)}) == 50


def sealed(change: Callable[[bytearray], None]) -> bytes:
    """Make a token of one byte, change what is in it, and sign it again."""
    raw = bytearray(base64.urlsafe_b64decode(STOCK.encrypt(b"x")))[:-32]
    change(raw)
    signing = base64.urlsafe_b64decode(KEY)[:16]
    return base64.urlsafe_b64encode(raw + hmac.digest(signing, raw, "sha256"))


def unchanged(raw: bytearray) -> None:
    pass


def padding_of(last: int) -> Callable[[bytearray], None]:
    """Change the last byte of the padding, which is 15: CBC turns a bit where the block before it has it turned."""

    def change(raw: bytearray) -> None:
        raw[9 + 15] ^= 15 ^ last

    return change


def in_the_other_alphabet() -> bytes:
    while b"-" not in (token := STOCK.encrypt(b"x")):
        pass
    return token.replace(b"-", b"+")


def test_a_token_that_is_signed_again_is_opened() -> None:
    assert opened(FernetDecoder(KEY, 10), sealed(unchanged)) == b"x"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(base64.urlsafe_b64encode(bytes(31)), id="shorter than a signature"),
        pytest.param(sealed(lambda raw: raw.__setitem__(0, 0x81)), id="another version"),
        pytest.param(sealed(lambda raw: raw.__delitem__(slice(25, None))), id="no block"),
        pytest.param(sealed(lambda raw: raw.__delitem__(slice(20, None))), id="no whole head"),
        pytest.param(sealed(lambda raw: raw.extend(b"y")), id="no whole blocks"),
        pytest.param(sealed(padding_of(0)), id="padding of no byte"),
        pytest.param(sealed(padding_of(17)), id="padding of more than a block"),
        pytest.param(sealed(padding_of(14)), id="padding that is not all alike"),
        pytest.param(STOCK.encrypt(bytes(16)), id="longer than there is room for"),
        pytest.param(Fernet(Fernet.generate_key()).encrypt(b"x"), id="of another key"),
        pytest.param(STOCK.encrypt(b"x") + b"\r", id="something that is no base64"),
        pytest.param(STOCK.encrypt(b"x")[:-4], id="cut"),
        pytest.param(in_the_other_alphabet(), id="in base64 that is not safe for addresses"),
        pytest.param(os.urandom(100), id="random bytes"),
    ],
)
def test_what_is_no_token_of_the_key_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidToken):
        opened(FernetDecoder(KEY, 10), token)


def test_a_token_with_a_bit_turned_anywhere_is_refused() -> None:
    raw = base64.urlsafe_b64decode(STOCK.encrypt(b"some content"))
    decoder = FernetDecoder(KEY, 100)
    for at in range(len(raw)):
        turned = bytearray(raw)
        turned[at] ^= 1 << at % 8
        with pytest.raises(InvalidToken):
            opened(decoder, base64.urlsafe_b64encode(turned))
    assert opened(decoder, base64.urlsafe_b64encode(raw)) == b"some content"
