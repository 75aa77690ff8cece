"""Emptying a directory in a container that goes away."""

from typing import Any, cast

import pytest

from app.engine import hands
from app.engine.client import Client
from app.engine.hands import Hands, empty_directory
from app.engine.tar_command import Tar, TarKind
from app.errors import Code, PartError

NOBODY = cast("Client", None)
HANDS = Hands("cell-mail", "cell-mail", Tar(TarKind.GNU), "/var/mail", has_acl=False)


@pytest.mark.parametrize("code", [Code.ENGINE_UNREACHABLE, Code.STREAM_CUT, Code.ENGINE_ERROR, Code.CONTAINER_MISSING])
async def test_a_container_that_goes_away_may_be_half_emptied(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> tuple[int, str]:
        raise PartError(code, "It is away.")

    monkeypatch.setattr(hands, "ask", away)
    with pytest.raises(PartError, match="could not be emptied: It is away") as caught:
        await empty_directory(NOBODY, HANDS, "/var/mail")
    assert caught.value.code is Code.STREAM_CUT
