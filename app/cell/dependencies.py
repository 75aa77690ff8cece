"""What a part of a cell needs of others: said in the plan of a restore, so that nobody learns it afterwards."""

import re
from collections.abc import Collection
from pathlib import Path

NEEDS = {
    "access": {"vault": "its secrets are encrypted under the vault's key"},
    "credentials": {"vault": "its secrets are encrypted under the vault's key"},
    "web": {"identity": "Caddyfile, Corefile and zones are made for the cell's name and domain"},
}
_MAX_BYTES = 4 << 20
# Compose's own notation: $NAME, ${NAME}, ${NAME:-default}, ${NAME:?error}; $$ is a dollar sign
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)(:?[-+?][^}]*)?\}|([A-Za-z_]\w*))")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*(?:(?<=\s)#.*)?")


def unmet(chosen: Collection[str]) -> list[str]:
    """Say which of the chosen components are restored without one that they need."""
    return [
        f"'{name}' is restored without '{other}': {why}."
        for name, others in NEEDS.items()
        if name in chosen
        for other, why in others.items()
        if other not in chosen
    ]


def empty_variables(compose: Path | None, env: Path | None) -> list[str]:
    """Name the variables in a compose file that would be empty, because the env file does not give them a value.

    None stands for a file that is not there. A stack that comes up with empty passwords reports no error:
    https://github.com/Finsys/dockhand/issues/1329
    """
    given = {
        match[1] for line in _text(env).splitlines() if (match := _ASSIGNMENT.fullmatch(line)) and match[2].strip("\"'")
    }
    wanted = []
    for match in _VARIABLE.finditer(_text(compose)):
        name = match[1] or match[3]
        if name and not _may_be_missing(match[2] or "") and name not in given:
            wanted.append(name)
    return list(dict.fromkeys(wanted))


def _may_be_missing(operation: str) -> bool:
    """Tell whether a variable has a default that is not empty, or is only asked whether it is set."""
    kind, word = operation.removeprefix(":")[:1], operation.removeprefix(":")[1:]
    return kind == "+" or (kind == "-" and bool(word))


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
