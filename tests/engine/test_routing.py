"""Routing rules in real containers: iptables and iproute2 do as configured, once or twice, or not at all."""

import json
from pathlib import Path

import pytest

from app.archive.parts import PartOutcome
from app.engine.base import Engine
from app.engine.docker import DockerEngine
from tests.support.core_containers import CoreContainer, RunCore, core_image, run_core
from tests.support.regenerating import cell, ready, reconfigure, tools_of
from tests.support.routers import UNREACHABLE, left_by, router, router_with_peers, routing, send, way_of
from workers.regeneration.regenerated import Regeneration
from workers.regeneration.regenerating import regenerate, regenerate_if_changed

__all__ = ["cell", "core_image", "run_core"]

pytestmark = pytest.mark.engine

SUCCEEDED, FAILED = PartOutcome.SUCCEEDED, PartOutcome.FAILED


async def apply(cell: Path, engine: Engine, container: CoreContainer) -> Regeneration:
    await ready(container)
    return await regenerate(tools_of(cell, engine, {"cell-wireguard": container}), way="builtin")


@pytest.mark.parametrize("kind", ["nft", "legacy"])
async def test_marked_traffic_leaves_by_its_connection_and_no_other_way(
    cell: Path, engine: DockerEngine, run_core: RunCore, kind: str
) -> None:
    with router(run_core, kind) as wireguard:
        done = await apply(cell, engine, wireguard)

        assert (done.routing.outcome, done.warnings) == (SUCCEEDED, ())
        assert way_of(wireguard, "203.0.113.9") == "eth9"
        assert way_of(wireguard, "203.0.113.9 mark 0x1000") == "wg-exit0"
        assert way_of(wireguard, "203.0.113.9 mark 0x1010") == "wg-exit1"
        assert way_of(wireguard, "172.20.0.9 mark 0x1000") == "lan"
        wireguard.sh("ip link del wg-exit0")
        assert way_of(wireguard, "203.0.113.9 mark 0x1000") == UNREACHABLE
        rules = wireguard.sh("iptables-save").splitlines()
        for rule in (
            "-A PREROUTING -j PIC_CONNECTIVITY",
            "-A PREROUTING -j PIC_EGRESS",
            "-A POSTROUTING -j PIC_EGRESS",
            "-A PIC_CONNECTIVITY -s 10.0.0.2/32 -j MARK --set-xmark 0x1000/0xffffffff",
            "-A PIC_EGRESS -s 172.20.0.5/32 -j MARK --set-xmark 0x1000/0xffffffff",
            "-A PIC_EGRESS -o wg-exit0 -m mark --mark 0x1000 -j MASQUERADE",
        ):
            assert rule in rules


@pytest.mark.parametrize("kind", ["nft", "legacy"])
async def test_applying_twice_changes_nothing(cell: Path, engine: DockerEngine, run_core: RunCore, kind: str) -> None:
    with router(run_core, kind) as wireguard:
        await apply(cell, engine, wireguard)
        once = routing(wireguard)
        await apply(cell, engine, wireguard)

        assert routing(wireguard) == once
        assert "PIC_EGRESS" in once["iptables"]


async def test_what_is_stale_goes_and_what_others_made_stays(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    others = (
        "iptables -t nat -A POSTROUTING -o eth9 -j MASQUERADE; iptables -A FORWARD -i wg0 -j ACCEPT;"
        "iptables -t mangle -N OTHER; iptables -t mangle -A PREROUTING -j OTHER;"
        "ip rule add from 10.7.0.0/24 lookup 1000 priority 500; ip rule add fwmark 0xca6c lookup 51820 priority 501;"
        "ip route add 10.7.0.0/24 dev eth9 table 1000"
    )
    stale = (
        "iptables -t mangle -N PIC_CONNECTIVITY; iptables -t mangle -A PIC_CONNECTIVITY -s 10.0.0.77 -j DROP;"
        "iptables -t mangle -A PREROUTING -j PIC_CONNECTIVITY; iptables -t mangle -A PREROUTING -j PIC_CONNECTIVITY;"
        "ip rule add fwmark 0x1ff0 lookup 1255 priority 14080; ip route add default dev eth9 table 1255;"
        "ip rule add fwmark 0x1000 lookup 1000; ip route add default dev eth9 table 1000"
    )
    with router(run_core) as clean, router(run_core) as used:
        for wireguard in (clean, used):
            await ready(wireguard)
            wireguard.sh(others)
        used.sh(stale)
        for wireguard in (clean, used):
            await apply(cell, engine, wireguard)

        expected, found = routing(clean), routing(used)
        assert found["rules"] == expected["rules"]
        assert sorted(found["routes"].splitlines()) == sorted(expected["routes"].splitlines())
        assert sorted(found["iptables"].splitlines()) == sorted(expected["iptables"].splitlines())
        assert "-A PREROUTING -j OTHER" in found["iptables"]
        assert "10.7.0.0/24 dev eth9 table 1000" in found["routes"]


async def test_a_connection_that_goes_takes_its_rules_along(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    with router(run_core) as wireguard:
        await ready(wireguard)
        before = routing(wireguard)
        await apply(cell, engine, wireguard)
        (cell / "data/peers.json").write_text("[]")
        reconfigure(cell, connections=[], egress_overrides={})
        await apply(cell, engine, wireguard)

        after = routing(wireguard)
        assert (after["rules"], after["routes"]) == (before["rules"], before["routes"])
        assert "-A PIC_" not in after["iptables"]


async def test_a_failure_half_way_leaves_everything_as_it_was(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    config = json.loads((cell / "config/api/cell_config.json").read_text())
    with router(run_core) as wireguard:
        await apply(cell, engine, wireguard)
        # the kernel takes no REDIRECT in a chain that can be reached from POSTROUTING; mangle is changed by then
        wireguard.sh("iptables -t nat -A POSTROUTING -j PIC_CONNECTIVITY")
        before = routing(wireguard)
        first, second = config["connections"]
        reconfigure(cell, connections=[first | {"table": 1077}, second | {"type": "tor"}])
        (cell / "data/peers.json").write_text(json.dumps([{"ip": "10.0.0.99", "exit_via": second["id"]}]))
        done = await apply(cell, engine, wireguard)

        assert done.routing.outcome is FAILED
        assert "iptables-restore" in done.routing.message
        assert routing(wireguard) == before


async def test_a_refused_route_leaves_everything_as_it_was(cell: Path, engine: DockerEngine, run_core: RunCore) -> None:
    config = json.loads((cell / "config/api/cell_config.json").read_text())
    with router(run_core) as wireguard:
        await apply(cell, engine, wireguard)
        reconfigure(cell, connections=[config["connections"][0] | {"mark": 0x1500, "table": 0xFFFF_FFFE}])
        before = routing(wireguard)
        # the first batch fails at its third line, as it would where an interface goes away meanwhile
        wireguard.sh("mv /usr/bin/ip /usr/bin/ip.real")
        wireguard.sh(
            'printf \'#!/bin/sh\\n[ "$1" = -batch ] || exec ip.real "$@"\\n'
            "if [ -e /tmp/failed ]; then exec ip.real -batch -; fi\\n"
            ": > /tmp/failed; { head -n 2; echo route add nonsense; } | ip.real -batch -\\n' > /usr/bin/ip;"
            "chmod 755 /usr/bin/ip"
        )
        done = await apply(cell, engine, wireguard)

        assert (done.routing.outcome, wireguard.sh("ls /tmp/failed")) == (FAILED, "/tmp/failed\n")
        assert routing(wireguard) == before


async def test_an_interface_that_is_not_there_yet_stops_nothing_else(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    with router(run_core) as wireguard:
        await ready(wireguard)
        wireguard.sh("ip link del wg-exit0")
        done = await apply(cell, engine, wireguard)

        assert done.routing.outcome is SUCCEEDED
        assert any("wg-exit0" in warning for warning in done.warnings)
        assert way_of(wireguard, "203.0.113.9 mark 0x1010") == "wg-exit1"
        assert way_of(wireguard, "203.0.113.9 mark 0x1000") == UNREACHABLE
        wireguard.sh("ip link add wg-exit0 type bridge; ip link set wg-exit0 up")
        assert (await apply(cell, engine, wireguard)).warnings == ()
        assert way_of(wireguard, "203.0.113.9 mark 0x1000") == "wg-exit0"


async def test_many_connections_and_peers_are_read_back_whole(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    many = [
        {"id": f"c{n}", "mark": 0x1000 + 0x10 * n, "table": 1000 + n, "iface": "wg-exit0", "type": "wireguard"}
        for n in range(150)
    ]
    reconfigure(cell, connections=many, egress_overrides={})
    peers = [{"ip": f"10.0.0.{n + 1}", "exit_via": f"c{n}"} for n in range(150)]
    (cell / "data/peers.json").write_text(json.dumps(peers))
    with router(run_core) as wireguard:
        await apply(cell, engine, wireguard)
        once = routing(wireguard)
        assert once["rules"].count("fwmark") == 151
        await apply(cell, engine, wireguard)
        assert routing(wireguard) == once

        reconfigure(cell, connections=[])
        (cell / "data/peers.json").write_text("[]")
        await apply(cell, engine, wireguard)
        assert routing(wireguard)["rules"].count("fwmark") == 0


async def test_a_start_of_the_service_brings_back_what_a_restart_of_the_container_lost(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    with router(run_core) as wireguard:
        tools = tools_of(cell, engine, {"cell-wireguard": wireguard})
        await apply(cell, engine, wireguard)
        before = routing(wireguard)
        wireguard.sh("rm /tmp/ready /usr/bin/iptables /usr/bin/iptables-save /usr/bin/iptables-restore")
        wireguard.restart()
        await ready(wireguard)
        assert "fwmark" not in routing(wireguard)["rules"]

        (cell / "config/dns/Corefile").unlink()
        await regenerate_if_changed(tools)
        assert routing(wireguard) == before
        assert not (cell / "config/dns/Corefile").exists(), "the files are made anew where the configuration changed"

        (cell / "data/cell_links.json").write_text("[]")
        await regenerate_if_changed(tools)
        assert (cell / "config/dns/Corefile").exists()


async def test_a_peer_s_packets_leave_by_its_exit_or_not_at_all(
    cell: Path, engine: DockerEngine, run_core: RunCore
) -> None:
    with router_with_peers(run_core) as wireguard:
        await ready(wireguard)
        for name in ("eth9", "wg-exit0", "wg-exit1"):
            wireguard.sh(f"iptables -t mangle -A POSTROUTING -o {name} -p icmp")
        await apply(cell, engine, wireguard)

        for peer in (2, 3):
            send(wireguard, peer, "ping -c 1 -W 1 203.0.113.9")
        assert left_by(wireguard) == {"eth9": 1, "wg-exit0": 1, "wg-exit1": 0}
        assert "1 packets received" in send(wireguard, 2, "ping -c 1 -W 1 10.0.0.3"), "what is near stays near"

        config = json.loads((cell / "config/api/cell_config.json").read_text())
        first, second = config["connections"]
        reconfigure(cell, connections=[first | {"enabled": False}, second | {"type": "tor"}])
        peers = [{"ip": "10.0.0.2", "exit_via": first["id"]}, {"ip": "10.0.0.3", "exit_via": second["id"]}]
        (cell / "data/peers.json").write_text(json.dumps(peers))
        await apply(cell, engine, wireguard)
        for peer in (2, 3):
            send(wireguard, peer, "ping -c 1 -W 1 203.0.113.9")
        assert left_by(wireguard) == {"eth9": 1, "wg-exit0": 1, "wg-exit1": 0}, "nobody leaves by another way"
        assert send(wireguard, 3, "nc -w 2 203.0.113.9 80") == "from the proxy\n"
        assert send(wireguard, 2, "nc -w 1 203.0.113.9 80") != "from the proxy\n"
