"""Working on a directory in a running container beside tar: what there is, and emptying it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.engine.client import Client
from app.engine.look import ask
from app.engine.tar_command import Tar, TarKind
from app.engine.tar_words import readable
from app.engine.target import Target
from app.errors import Code, PartError

_EMPTYING_SECONDS = 3600.0
# A service that goes on writing may put something into a directory while that is being removed.
_ATTEMPTS = 3
_WORDS_LIMIT = 1000

# CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER: without them root cannot write what belongs to others (capability.h).
_NEEDED = 1 << 0 | 1 << 1 | 1 << 3
_CAPABILITIES = re.compile(r"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)
_ACL = "SCHILY.acl"
# Four answers for one process, behind each but the last a NUL: starting one takes longer than all that is asked.
# An ACL that cannot be told counts as one.
_LOOK = (
    '(cd -P "$1" 2>/dev/null && pwd -P); printf "\\0";'
    " command -v find >/dev/null && command -v rm >/dev/null && echo tools;"
    ' while read -r line; do printf "%s\\n" "$line"; done </proc/self/status; printf "\\0";'
    ' tar --help 2>&1 || test $? -lt 126 || exit; printf "\\0";'
    ' tar --create --file=- --format=posix --acls --no-recursion -C "$1" -- . 2>/dev/null || echo ' + _ACL
)
# POSIX only, so that any find will do; every name begins with `./`, and links are not followed.
# What is made in a set-gid directory is set-gid too, and GNU tar doesn't expect that: folders would stay so.
_EMPTY = 'cd -P "$1" && { ! test -g . || chmod g-s . 2>&1; } && find . ! -name . -prune -exec rm -rf -- {} + 2>&1'
_LEFT = 'cd -P "$1" && find . ! -name . -print'
_WHICH_ARE_FILES = 'for one; do if test -d "$one"; then echo folder; else echo file; fi; done'
_MOUNTS = 'while read -r line; do printf "%s\\n" "$line"; done </proc/self/mountinfo'
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Hands:
    """Name a running container, the target or a helper beside it, that can empty a directory and extract a tar.

    `place` is the path of the directory without links, None where there is none. `has_acl` says that GNU tar knows of
    an ACL of the directory, its own or for what is made in it, or that it cannot be told.
    """

    container: str
    target: str
    tar: Tar
    place: str | None
    has_acl: bool


async def look_for_hands(client: Client, container: str, path: str, *, target: str) -> Hands | None:
    """Find out whether the running container has all it takes: sh, tar, find, rm, and a root that may do anything."""
    code, output = await ask(client, container, ["sh", "-c", _LOOK, "sh", path])
    place, _, rest = output.partition("\0")
    tools, _, rest = rest.partition("\0")
    text, _, archived = rest.partition("\0")
    able = _CAPABILITIES.search(tools)
    if code or not tools.startswith("tools\n") or able is None or int(able[1], 16) & _NEEDED != _NEEDED:
        return None
    tar = Tar.from_help(text)
    if tar.kind is TarKind.NONE:
        return None
    return Hands(container, target, tar, place.removesuffix("\n") or None, _ACL in archived)


async def empty_directory(client: Client, hands: Hands, path: str, spared: Sequence[str] = ()) -> bool:
    """Remove everything in the directory, but mount points, which are emptied; tell whether there were none.

    `spared` are mounts in it that cannot be changed. Raises PartError: VOLUME_NOT_EMPTIED with rm's words, STREAM_CUT
    where it is not known how much is left, because the engine or the container went away.
    """
    if path == "/":
        raise PartError(Code.VOLUME_NOT_EMPTIED, f"The root of {hands.target} is never emptied")
    try:
        return await _emptied(client, hands, path, spared)
    except PartError as error:
        code = error.code if error.code is Code.VOLUME_NOT_EMPTIED else Code.STREAM_CUT
        raise PartError(code, f"{path} in {hands.target} could not be emptied: {error.message}") from error


async def find_fixed(client: Client, hands: Hands, target: Target, path: str) -> tuple[str, ...]:
    """Give the mounts below the directory in which nothing can be replaced: those that are read-only, or one file.

    Raises PartError.
    """
    below = target.mounts_below(path)
    if not below:
        return ()
    _, lines = await ask(client, hands.container, ["sh", "-c", _WHICH_ARE_FILES, "sh", *below])
    files = {point for point, kind in zip(below, lines.split(), strict=False) if kind == "file"}
    return tuple(point for point in below if point in target.read_only or point in files)


async def _emptied(client: Client, hands: Hands, path: str, spared: Sequence[str]) -> bool:
    """Remove, and tell whether nothing is left; raises PartError with rm's words where more than mount points is."""
    words = ""
    for _ in range(_ATTEMPTS):
        command = ["sh", "-c", _EMPTY, "sh", path]
        code, words = await ask(client, hands.container, command, seconds=_EMPTYING_SECONDS, has_shell=True)
        if code == 0 or await _only_mounts_left(client, hands.container, path, spared):
            return code == 0
    said = readable("; ".join(words.strip().splitlines()[-5:]))[:_WORDS_LIMIT]
    raise PartError(Code.VOLUME_NOT_EMPTIED, said or "rm said nothing")


async def _only_mounts_left(client: Client, container: str, path: str, spared: Sequence[str]) -> bool:
    """Say whether all that is left in the directory are mount points, the way to them, and what is in those spared."""
    _, lines = await ask(client, container, ["sh", "-c", _MOUNTS])
    _, left = await ask(client, container, ["sh", "-c", _LEFT, "sh", path])
    points = [_OCTAL.sub(lambda found: chr(int(found[1], 8)), line.split()[4]) for line in lines.splitlines()]
    names = [f"{path}/{name.removeprefix('./')}" for name in left.splitlines()]
    return all(
        any(f"{point}/".startswith(f"{name}/") for point in points) or any(name.startswith(f"{one}/") for one in spared)
        for name in names
    )
