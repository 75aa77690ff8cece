"""Routing rules: read what is there, apply what should be, put everything back if a step of that fails."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.archive.parts import PartOutcome
from app.cell.generated.configuration import read_configuration
from app.cell.generated.firewall import TABLES, Firewall, read_firewall, restore_input, wanted_firewall
from app.cell.generated.policy import Policy, additions, read_routes, read_rules, removals, wanted_policy
from app.cell.generated.routes import Routing, read_routing
from app.cell.generated.values import host_address
from app.engine.base import CommandResult, Engine
from app.engine.shield import see_through
from app.errors import Code, PartError
from workers.regeneration.core_containers import NOT_THERE, ask, last_words, read_lines, why_away
from workers.regeneration.regenerated import Made
from workers.tools import Tools

WIREGUARD = "cell-wireguard"
# whichever of these works is what the container's other rules are made with
_VARIANTS = ("iptables", "iptables-nft", "iptables-legacy")
# a table in which nothing stands yet is an error to `ip`, and no route to its reader
_ROUTES = 'for table; do echo "table $table"; ip route show table "$table" 2>/dev/null || true; done'
_RESOLVE = 'getent ahostsv4 "$1" 2>/dev/null || getent hosts "$1"'


@dataclass(frozen=True, slots=True)
class _State:
    """Hold all of the routing that this project may change."""

    firewall: Firewall
    policy: Policy


async def make_routing(tools: Tools) -> Made:
    """Apply the routing rules in `cell-wireguard`; PartError ROUTING_FAILED where they are as before."""
    engine, root = tools.engine, tools.settings.cell_root
    routing = await asyncio.to_thread(lambda: read_routing(root, read_configuration(root)))
    away = await why_away(engine, WIREGUARD, root)
    if away is not None:
        return Made(PartOutcome.SKIPPED, f"not applied: {away}.", routing.warnings)
    warnings = await _Router(engine, await _variant(engine)).apply(routing)
    count = f"{len(routing.connections)} connections, {len(routing.peers)} peers, {len(routing.services)} services"
    return Made(PartOutcome.SUCCEEDED, f"applied: {count}.", (*routing.warnings, *warnings))


async def _variant(engine: Engine) -> str:
    """Find the iptables that works in the container."""
    answers = []
    for variant in _VARIANTS:
        answers.append(await ask(engine, WIREGUARD, [f"{variant}-save", "-t", TABLES[0]]))
        if answers[-1].exit_code == 0:
            return variant
    broken = next((answer for answer in answers if answer.exit_code not in NOT_THERE), answers[0])
    raise _failed("iptables-save", broken)


class _Router:
    """Work on the routing of one container."""

    def __init__(self, engine: Engine, variant: str) -> None:
        self._engine = engine
        self._variant = variant

    async def apply(self, routing: Routing) -> tuple[str, ...]:
        """Make everything as it should be, or leave everything as it was; give warnings.

        Routes come first and go last, so that what is marked always finds its way or none.
        """
        addresses, unknown = await self._addresses(routing)
        policy, down = wanted_policy(routing, await self._interfaces())
        before = await self._read(policy.tables)
        rules = restore_input(before.firewall, wanted_firewall(routing, addresses))
        await self._restore(rules, "--test")
        async with self._put_back_on_failure(before, policy.tables):
            await self._batch(additions(before.policy, policy))
            await self._restore(rules)
            await self._batch(removals(before.policy, policy))
        return (*unknown, *down)

    @asynccontextmanager
    async def _put_back_on_failure(self, before: _State, tables: frozenset[int]) -> AsyncIterator[None]:
        try:
            yield
        except (PartError, asyncio.CancelledError) as error:
            try:
                await see_through(self._put_back(before, tables))
            except PartError as trouble:
                why = f"The routing in {WIREGUARD} is neither new nor old: {trouble.message}"
                raise PartError(Code.ROLLBACK_FAILED, why) from error
            raise

    async def _put_back(self, before: _State, tables: frozenset[int]) -> None:
        now = await self._read(tables)
        await self._batch(additions(now.policy, before.policy))
        await self._restore(restore_input(now.firewall, before.firewall))
        await self._batch(removals(now.policy, before.policy))

    async def _read(self, tables: frozenset[int]) -> _State:
        saved = {table: await self._ask(f"{self._variant}-save", "-t", table, matching="PIC_") for table in TABLES}
        rules = read_rules(await self._rules())
        tables |= {rule.table for rule in rules if rule.table is not None}
        routes = await self._ask("sh", "-c", _ROUTES, "sh", *map(str, sorted(tables)))
        return _State(read_firewall(saved), Policy(rules, read_routes(routes)))

    async def _rules(self) -> str:
        # -N: a table may have a name there; an old `ip` does not know the option
        numeric = await read_lines(self._engine, WIREGUARD, ["ip", "-N", "rule", "show"], matching="fwmark")
        return numeric.output if numeric.exit_code == 0 else await self._ask("ip", "rule", "show", matching="fwmark")

    async def _interfaces(self) -> frozenset[str]:
        text = await self._ask("ip", "-o", "link", "show", "up")
        words = (line.split(": ")[1] for line in text.splitlines() if line.count(": ") >= 2)
        return frozenset(word.partition("@")[0] for word in words)

    async def _addresses(self, routing: Routing) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
        """Ask the container for the addresses of the services' containers; those it does not know are a warning."""
        known: dict[str, tuple[str, ...]] = {}
        warnings = []
        for service in routing.services:
            found = await ask(self._engine, WIREGUARD, ["sh", "-c", _RESOLVE, "sh", service.source])
            known[service.source] = _ipv4(line.split()[0] for line in found.output.splitlines() if line.strip())
            if not known[service.source]:
                why = f"{WIREGUARD} does not know the address of {service.source}"
                warnings.append(f"The egress of {service.who} is left out: {why}.")
        return known, tuple(warnings)

    async def _restore(self, rules: str, *options: str) -> None:
        await self._do([f"{self._variant}-restore", "--noflush", "--wait=5", *options], rules)

    async def _batch(self, lines: str) -> None:
        if lines:
            await self._do(["ip", "-batch", "-"], lines)

    async def _do(self, command: list[str], stdin: str) -> None:
        done = await ask(self._engine, WIREGUARD, command, stdin=stdin)
        if done.exit_code != 0:
            raise _failed(command[0], done)

    async def _ask(self, *command: str, matching: str = "") -> str:
        answer = await read_lines(self._engine, WIREGUARD, command, matching=matching)
        if answer.exit_code != 0:
            raise _failed(command[0], answer)
        return answer.output


def _ipv4(words: Iterable[str]) -> tuple[str, ...]:
    found = []
    for word in words:
        try:
            found.append(host_address(word))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


def _failed(command: str, result: CommandResult) -> PartError:
    return PartError(Code.ROUTING_FAILED, f"'{command}' failed in {WIREGUARD}: {last_words(result)}.")
