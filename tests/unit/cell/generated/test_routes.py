"""Who leaves the cell by which connection, and what iptables and `ip` are told of it."""

from pathlib import Path
from typing import Any

import pytest

from app.cell.generated.firewall import (
    CHAINS,
    HIDE,
    MARK_PEERS,
    MARK_SERVICES,
    REDIRECT,
    Filled,
    read_firewall,
    restore_input,
    wanted_firewall,
)
from app.cell.generated.policy import (
    Policy,
    Route,
    Rule,
    additions,
    read_routes,
    read_rules,
    removals,
    wanted_policy,
)
from app.errors import Code, PartError
from tests.unit.cell.generated.support import connection, install, routing_of, write_json

NOTHING = Policy((), ())


def peers(root: Path, *entries: dict[str, Any]) -> None:
    write_json(root, "data/peers.json", list(entries))


def test_the_sample_cell_routes_its_peer_and_its_service_and_no_warning(cell: Path) -> None:
    from app.cell.generated.configuration import read_configuration
    from app.cell.generated.routes import read_routing

    routing = read_routing(cell, read_configuration(cell))
    assert routing.warnings == ()
    assert [(item.mark, item.table, item.iface) for item in routing.connections] == [
        (0x1000, 1000, "wg-exit0"),
        (0x1010, 1001, "wg-exit1"),
    ]
    assert [(item.who, item.source) for item in routing.peers] == [("peer 'ada'", "10.0.0.2")]
    assert [(item.who, item.source) for item in routing.services] == [("service 'mail'", "cell-mail")]
    assert routing.local == ("172.20.0.0/16", "10.0.0.0/24")


@pytest.mark.parametrize(
    ("changes", "port"),
    [({"type": "tor"}, 9101), ({"iface": None}, 9101), ({"type": "openvpn", "redirect_port": None}, None)],
)
def test_a_proxy_gets_a_port_and_a_tunnel_an_interface(bare: Path, changes: dict[str, Any], port: int | None) -> None:
    found = routing_of(bare, connections=[connection(1, **changes)]).connections[0]

    assert found.redirect_port == port
    assert (found.iface is None) == (port is not None)


@pytest.mark.parametrize(
    "changes",
    [
        {"iface": "wg0 -j ACCEPT"},
        {"iface": "-x"},
        {"mark": 0x999},
        {"mark": "0x1010\n"},
        {"table": 254},
        {"table": "main"},
        {"redirect_port": 22},
        {"id": "a\nb"},
        {"enabled": "no"},
        {"iface": None, "redirect_port": None},
        {"type": "tor", "redirect_port": None},
        {"mark": 0x1020},
        {"table": 1002},
        {"id": "conn-2"},
    ],
)
def test_a_connection_that_does_not_hold_is_left_out_with_a_warning(bare: Path, changes: dict[str, Any]) -> None:
    routing = routing_of(bare, connections=[connection(2), connection(1, **changes), "nonsense"])

    assert [item.id for item in routing.connections] == ["conn-2"]
    assert len(routing.warnings) == 2
    assert not any("\n" in warning for warning in routing.warnings)


@pytest.mark.parametrize(
    ("entry", "held"),
    [
        ({"ip": "10.0.0.3/32", "exit_via": "my tor"}, ["10.0.0.3"]),
        ({"ip": "10.0.0.4/32, fd00::4/128", "exit_via": "conn-1"}, ["10.0.0.4"]),
        ({"ip": ["10.0.0.8", "fd00::8"], "exit_via": "conn-1"}, ["10.0.0.8"]),
        ({"name": ["x"], "ip": "10.0.0.6", "exit_via": "conn-1"}, ["10.0.0.6"]),
        ({"ip": "10.0.0.7/24", "exit_via": "conn-1"}, ["10.0.0.7"]),
        ({"ip": "10.0.0.9", "exit_via": ["conn-1"]}, ["10.0.0.9"]),
        ({"address": "10.0.0.5", "exit_via": "conn-1"}, []),
        ({"ip": "10.0.0.7/24", "exit_via": "default"}, []),
        ({"ip": "10.0.0.7/24"}, []),
    ],
)
def test_a_peer_that_names_an_exit_in_a_record_that_does_not_fit_does_not_leak(
    bare: Path, entry: dict[str, Any], held: list[str]
) -> None:
    peers(bare, entry)
    routing = routing_of(bare, connections=[connection(1)])

    assert [(item.source, item.connection) for item in routing.peers] == [(address, None) for address in held]
    assert any("is not ruled" in warning for warning in routing.warnings) == ("address" in entry)


def test_a_peer_whose_exit_cannot_be_used_does_not_leak(bare: Path) -> None:
    peers(
        bare,
        {"name": "ada", "ip": "10.0.0.2", "exit_via": "conn-1"},
        {"name": "bob", "ip": "10.0.0.3/32", "exit_via": "conn-2"},
        {"name": "cyd", "ip": "10.0.0.4", "exit_via": "default"},
        {"name": "dan", "ip": "10.0.0.5"},
    )
    routing = routing_of(bare, connections=[connection(1), connection(2, enabled=False)])

    rules = wanted_firewall(routing, {})[MARK_PEERS].rules
    assert rules == (
        "-d 172.20.0.0/16 -j RETURN",
        "-d 10.0.0.0/24 -j RETURN",
        "-s 10.0.0.2/32 -j MARK --set-xmark 0x1010/0xffffffff",
        "-s 10.0.0.3/32 -j DROP",
    )
    assert routing.warnings == (
        "Nothing of peer 'bob' leaves the cell: the connection 'conn-2' is not there or not enabled.",
    )


@pytest.mark.parametrize("hostile", ["10.0.0.2 -j ACCEPT", "10.0.0.2\nCOMMIT", "0.0.0.0/0", "fd00::2", "", 167772162])
def test_a_hostile_peer_gets_no_word_into_the_rules(bare: Path, hostile: Any) -> None:
    peers(bare, {"name": "x\ny", "ip": hostile, "exit_via": "conn-1"}, {"ip": "10.0.0.9", "exit_via": "a\nb"})
    routing = routing_of(bare, connections=[connection(1)])

    assert [(item.source, item.connection) for item in routing.peers] == [("10.0.0.9", None)]
    assert len(routing.warnings) == 4
    assert not any("\n" in warning for warning in routing.warnings)


def test_a_peer_routed_via_an_unknown_cell_is_a_warning(bare: Path) -> None:
    write_json(bare, "data/cell_links.json", [{"name": "friend"}])
    peers(bare, {"ip": "10.0.0.2", "route_via": "friend"}, {"ip": "10.0.0.3", "route_via": "foe"})

    assert routing_of(bare).warnings == ("peer '10.0.0.3' is routed via 'foe', but no linked cell is called that.",)


def test_peers_that_cannot_be_read_leave_the_routing_as_it_is(bare: Path) -> None:
    write_json(bare, "data/peers.json", {"peers": "none"})

    with pytest.raises(PartError) as raised:
        routing_of(bare, connections=[connection(1)])
    assert raised.value.code is Code.FILE_UNREADABLE


def test_a_service_leaves_by_the_address_of_its_container(bare: Path) -> None:
    install(bare, "mail")
    install(bare, "files", container_name=None, backend="cell-filegator:80")
    install(bare, "odd", container_name=None, backend=None)
    overrides = {"mail": "conn-1", "files": "gone", "odd": "conn-1", "nowhere": "conn-1", "web": "default", "x": None}
    routing = routing_of(bare, connections=[connection(1)], egress_overrides=overrides)

    addresses = {"cell-mail": ("172.20.0.5", "172.21.0.5"), "cell-filegator": ("172.20.0.6",)}
    assert wanted_firewall(routing, addresses)[MARK_SERVICES].rules == (
        "-d 172.20.0.0/16 -j RETURN",
        "-d 10.0.0.0/24 -j RETURN",
        "-s 172.20.0.6/32 -j DROP",
        "-s 172.20.0.5/32 -j MARK --set-xmark 0x1010/0xffffffff",
        "-s 172.21.0.5/32 -j MARK --set-xmark 0x1010/0xffffffff",
    )
    assert len(routing.warnings) == 3


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("[Interface]\nAddress = 10.8.0.1/16, fd00::1/64\n", "10.8.0.0/16"),
        ("[Interface]\naddress=fd00::1/64,10.9.0.1/24 # here\n", "10.9.0.0/24"),
        ("[Interface]\nAddress = 10.8.0.0/24 -j ACCEPT\n", "10.0.0.0/24"),
        ("", "10.0.0.0/24"),
    ],
)
def test_the_vpn_s_network_is_what_wireguard_says(bare: Path, text: str, network: str) -> None:
    (bare / "config/wireguard").mkdir()
    (bare / "config/wireguard/wg0.conf").write_text(text)

    assert routing_of(bare, ip_range="172.30.0.1/16").local == ("172.30.0.0/16", network)


def test_the_chains_are_refilled_and_jumped_to_once(bare: Path) -> None:
    routing = routing_of(bare, connections=[connection(1), connection(2, type="tor")])
    saved = {
        "mangle": ":PIC_CONNECTIVITY - [0:0]\n-A PREROUTING -j PIC_CONNECTIVITY\n-A PREROUTING -j PIC_CONNECTIVITY\n"
        "-A PREROUTING -i wg0 -j PIC_CONNECTIVITY\n-A PIC_CONNECTIVITY -j OLD\n",
        "nat": "-A POSTROUTING -o eth0 -j MASQUERADE\n",
    }

    text = restore_input(read_firewall(saved), wanted_firewall(routing, {}))
    assert text == (
        "*mangle\n"
        ":PIC_CONNECTIVITY - [0:0]\n-D PREROUTING -j PIC_CONNECTIVITY\n"
        ":PIC_EGRESS - [0:0]\n-A PREROUTING -j PIC_EGRESS\nCOMMIT\n"
        "*nat\n"
        ":PIC_CONNECTIVITY - [0:0]\n-A PIC_CONNECTIVITY -p tcp -m mark --mark 0x1020 -j REDIRECT --to-ports 9102\n"
        "-A PREROUTING -j PIC_CONNECTIVITY\n"
        ":PIC_EGRESS - [0:0]\n-A PIC_EGRESS -o wg-exit1 -m mark --mark 0x1010 -j MASQUERADE\n"
        "-A POSTROUTING -j PIC_EGRESS\nCOMMIT\n"
    )


def test_chains_that_were_not_there_before_can_be_taken_away_again() -> None:
    before = dict.fromkeys(CHAINS, Filled())
    now = before | {HIDE: Filled(("-j RETURN",), 1), REDIRECT: Filled((), 0)}

    assert restore_input(now, before).splitlines()[2:] == [
        "*nat",
        ":PIC_CONNECTIVITY - [0:0]",
        "-X PIC_CONNECTIVITY",
        ":PIC_EGRESS - [0:0]",
        "-D POSTROUTING -j PIC_EGRESS",
        "-X PIC_EGRESS",
        "COMMIT",
    ]


RULES = """0:\tfrom all lookup 255
100:\tfrom 10.1.0.0/16 lookup 1000
9999:\tfrom all fwmark 0x1000/0xfffff000 lookup 254 suppress_prefixlength 0
10000:\tfrom all fwmark 0x1000 lookup 1000
10032:\tfrom all fwmark 0x1020/0xfff0 lookup 1002
10040:\tfrom all fwmark 0xca6c lookup 51820
10050:\tfrom all iif eth0 fwmark 0x1030 lookup 1003
10060:\tfrom all fwmark 0x1040 lookup main
10070:\tnot from all fwmark 0x1050 lookup 1005
32766:\tfrom all lookup 254
"""


def test_only_rules_with_a_mark_and_a_table_of_this_project_are_its_own() -> None:
    assert read_rules(RULES) == (
        Rule(9999, 0x1000, 0xFFFFF000, None),
        Rule(10000, 0x1000, 0xFFFFFFFF, 1000),
        Rule(10032, 0x1020, 0xFFF0, 1002),
    )


def test_only_default_routes_are_its_own() -> None:
    text = (
        "table 1000\ndefault via 10.9.0.1 dev tun0 proto static metric 5\n"
        "unreachable default metric 1000000 \n"
        "10.1.0.0/16 dev eth0 scope link\ntable 1001\ntable 1002\ndefault dev wg-exit2 scope link\n"
    )

    assert read_routes(text) == (
        Route(1000, 5, "", "via 10.9.0.1 dev tun0"),
        Route(1000, 1_000_000, "unreachable", ""),
        Route(1002, 0, "", "dev wg-exit2"),
    )


def test_a_stale_rule_goes_with_its_routes_and_what_is_right_is_not_touched(bare: Path) -> None:
    wanted, _ = wanted_policy(routing_of(bare, connections=[connection(0)]), ["wg-exit0"])
    routes = (Route(1002, 0, "", "dev wg-exit2"), Route(1002, 1_000_000, "unreachable", ""))
    now = Policy(read_rules(RULES), (*wanted.routes, *routes))

    assert additions(now, wanted) == ""
    assert removals(now, wanted) == (
        "rule del priority 10032 fwmark 0x1020/0xfff0 lookup 1002\n"
        "route del default dev wg-exit2 table 1002\n"
        "route del unreachable default table 1002 metric 1000000\n"
    )


def test_a_route_to_another_interface_is_replaced_not_added_beside(bare: Path) -> None:
    wanted, _ = wanted_policy(routing_of(bare, connections=[connection(0)]), ["wg-exit0"])
    now = Policy(wanted.rules, (Route(1000, 0, "", "dev wg-old"), wanted.routes[0]))

    assert additions(now, wanted) == "route replace default dev wg-exit0 table 1000\n"
    assert removals(now, wanted) == ""


def test_an_interface_that_is_not_up_leaves_the_unreachable_route_and_a_warning(bare: Path) -> None:
    routing = routing_of(bare, connections=[connection(0), connection(1)])

    wanted, warnings = wanted_policy(routing, ["lo", "wg-exit0"])
    assert [(route.table, route.kind) for route in wanted.routes] == [
        (1000, "unreachable"),
        (1000, ""),
        (1001, "unreachable"),
    ]
    assert len(wanted.rules) == 3
    assert len(warnings) == 1
    assert "wg-exit1" in warnings[0]


def test_a_cell_without_connections_has_no_rule(bare: Path) -> None:
    wanted, _ = wanted_policy(routing_of(bare), ["lo"])

    assert wanted == NOTHING
    assert "9999" in removals(Policy(read_rules(RULES), ()), wanted)
