"""Policy routing: which mark looks into which routing table, what stands there, and how `ip` is told.

Marked traffic asks the main table first, but not for its default route: so networks that are near stay near. Then it
asks its connection's table, which has a default route by the interface and, should that be gone, one that says
`unreachable`: nothing leaves by another way.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from app.cell.generated.routes import Connection, Routing

MAIN_FIRST = 9999
PRIORITY_BASE = 10000
UNREACHABLE_METRIC = 1_000_000
_MARKS = range(0x1000, 0x2000)
_FIRST_TABLE = 1000
_RANGE_MASK = 0xFFFFF000
_ALL = 0xFFFFFFFF
_RULE = re.compile(
    r"(\d+):\s+from all fwmark (0x[0-9a-f]+)(?:/(0x[0-9a-f]+))? lookup (\w+)(?: suppress_prefixlength (\d+))?"
)
_MAIN = {"main", "254"}
_UNREACHABLE = {"unreachable", "blackhole", "prohibit"}


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold one `ip rule` of this project; `table` is None for the rule that asks the main table first."""

    priority: int
    mark: int
    mask: int
    table: int | None

    @property
    def words(self) -> str:
        """Write the rule as `ip rule add` and `del` want it."""
        mask = "" if self.mask == _ALL else f"/{self.mask:#x}"
        table = "main suppress_prefixlength 0" if self.table is None else str(self.table)
        return f"priority {self.priority} fwmark {self.mark:#x}{mask} lookup {table}"


@dataclass(frozen=True, slots=True)
class Route:
    """Hold one default route of a connection's table; `target` is all that stands around `default`."""

    table: int
    metric: int
    kind: str
    target: str

    @property
    def words(self) -> str:
        """Write the route as `ip route replace` and `del` want it."""
        metric = f" metric {self.metric}" if self.metric else ""
        return " ".join(f"{self.kind} default {self.target} table {self.table}{metric}".split())


@dataclass(frozen=True, slots=True)
class Policy:
    """Hold rules and routes."""

    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]

    @property
    def tables(self) -> frozenset[int]:
        """Give the tables that the rules and routes are about."""
        named = {rule.table for rule in self.rules if rule.table is not None}
        return frozenset(named | {route.table for route in self.routes})


def wanted_policy(routing: Routing, up: Iterable[str]) -> tuple[Policy, tuple[str, ...]]:
    """Say which rules and routes must be there, and warn of interfaces that aren't `up`: their routes are left out."""
    interfaces = frozenset(up)
    rules = [Rule(MAIN_FIRST, _MARKS.start, _RANGE_MASK, None)] if routing.connections else []
    routes, warnings = [], []
    for item in routing.connections:
        rules.append(Rule(PRIORITY_BASE + item.mark - _MARKS.start, item.mark, _ALL, item.table))
        routes.append(Route(item.table, UNREACHABLE_METRIC, "unreachable", ""))
        if item.iface in interfaces:
            routes.append(Route(item.table, 0, "", f"dev {item.iface}"))
        elif item.iface is not None:
            warnings.append(_not_up(item))
    return Policy(tuple(rules), tuple(routes)), tuple(warnings)


def _not_up(item: Connection) -> str:
    return (
        f"Connection '{item.id}': the interface {item.iface} is not there or not up, so that what should leave by it "
        "does not leave at all; run 'cell-backup regenerate' when it is up."
    )


def read_rules(text: str) -> tuple[Rule, ...]:
    """Find this project's rules in what `ip rule show` printed: by a mark and a table of its ranges."""
    found = (_RULE.fullmatch(line.strip()) for line in text.splitlines())
    return tuple(rule for match in found if match is not None and (rule := _ours(match)) is not None)


def _ours(match: re.Match[str]) -> Rule | None:
    priority, mark, mask = int(match[1]), int(match[2], 16), int(match[3] or hex(_ALL), 16)
    if mark not in _MARKS:
        return None
    if match[4] in _MAIN:
        ours = (priority, mark, mask, match[5]) == (MAIN_FIRST, _MARKS.start, _RANGE_MASK, "0")
        return Rule(priority, mark, mask, None) if ours else None
    if not match[4].isdigit() or int(match[4]) < _FIRST_TABLE or match[5] is not None:
        return None
    return Rule(priority, mark, mask, int(match[4]))


def read_routes(text: str) -> tuple[Route, ...]:
    """Find the default routes in what `ip route show table <n>` printed, each table's below a line `table <n>`.

    Other routes are not this project's.
    """
    routes = []
    table = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "table" and words[1].isdigit():
            table = int(words[1])
        elif (route := _default(table, words)) is not None:
            routes.append(route)
    return tuple(routes)


def _default(table: int, words: list[str]) -> Route | None:
    kind = words.pop(0) if words and words[0] in _UNREACHABLE else ""
    if words[:1] != ["default"]:
        return None
    pairs = dict(pairwise(words))
    target = " ".join(f"{key} {pairs[key]}" for key in ("via", "dev") if key in pairs and not kind)
    return Route(table, int(pairs.get("metric", "0")), kind, target)


def additions(now: Policy, wanted: Policy) -> str:
    """Write what `ip -batch` must add or change, routes before the rules that lead to them; empty where nothing is."""
    have = _by_place(now)
    lines = [f"route replace {route.words}" for route in wanted.routes if have.get(_place(route)) != route]
    lines += [f"rule add {rule.words}" for rule in wanted.rules if rule not in now.rules]
    return _batch(lines)


def removals(now: Policy, wanted: Policy) -> str:
    """Write what `ip -batch` must remove, rules before the routes that they lead to; empty where nothing is."""
    keep = _by_place(wanted)
    lines = [f"rule del {rule.words}" for rule in now.rules if rule not in wanted.rules]
    lines += [f"route del {route.words}" for route in now.routes if _place(route) not in keep]
    return _batch(lines)


def _place(route: Route) -> tuple[int, int]:
    return route.table, route.metric


def _by_place(policy: Policy) -> Mapping[tuple[int, int], Route]:
    return {_place(route): route for route in policy.routes}


def _batch(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
