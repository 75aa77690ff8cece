"""Stand-ins for `cell-wireguard`: containers with interfaces, real iptables and iproute2, and peers that send."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.core_containers import CoreContainer, RunCore

UNREACHABLE = "RTNETLINK answers: No route to host"
ROUTER = """
for end in "" -save -restore; do ln -s iptables-{kind}$end /usr/bin/iptables$end; done
ip link add lan type bridge; ip address add 172.20.0.2/16 dev lan; ip link set lan up
ip link add eth9 type bridge; ip address add 192.0.2.2/24 dev eth9; ip link set eth9 up
ip route add default via 192.0.2.1 dev eth9
for n in 0 1; do ip link add wg-exit$n type bridge; ip link set wg-exit$n up; done
touch /tmp/ready
exec sleep 100000
"""


PEERS = """
for number in 2 3; do
    unshare -n sleep 100000 & peer=$!
    until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
    ip link add wg$number type veth peer name peer$number
    ip link set peer$number netns $peer
    ip address add 10.0.0.1/32 dev wg$number; ip link set wg$number up; ip route add 10.0.0.$number dev wg$number
    in="nsenter --net=/proc/$peer/ns/net"
    $in ip address add 10.0.0.$number/32 dev peer$number; $in ip link set peer$number up
    $in ip route add 10.0.0.1 dev peer$number; $in ip route add default via 10.0.0.1
    echo $peer > /tmp/peer$number
done
for n in 0 1; do ip address add 10.99.$n.1/32 dev wg-exit$n; done
(while :; do echo "from the proxy" | nc -l -p 9101; done) &
"""


@contextmanager
def router(run_core: RunCore, kind: str = "nft") -> Iterator[CoreContainer]:
    options = ["--cap-add=NET_ADMIN", "--add-host=cell-mail:172.20.0.5"]
    with run_core(ROUTER.replace("{kind}", kind), options=options) as container:
        yield container


@contextmanager
def router_with_peers(run_core: RunCore) -> Iterator[CoreContainer]:
    """Run a router with two peers, 10.0.0.2 and 10.0.0.3, each in a network namespace of its own."""
    script = ROUTER.replace("{kind}", "nft").replace("touch /tmp/ready", f"{PEERS}\ntouch /tmp/ready")
    options = ["--cap-add=NET_ADMIN", "--cap-add=SYS_ADMIN", "--sysctl=net.ipv4.ip_forward=1"]
    options += ["--security-opt=seccomp=unconfined", "--add-host=cell-mail:172.20.0.5"]
    with run_core(script, options=options) as container:
        yield container


def send(container: CoreContainer, peer: int, words: str) -> str:
    """Have a peer run a command, and give what it prints, whether or not that succeeds."""
    return container.sh(f"nsenter --net=/proc/$(cat /tmp/peer{peer})/ns/net {words} 2>&1 || true")


def left_by(container: CoreContainer) -> dict[str, int]:
    """Count the pings that left by each interface so far; the test's own rules count them."""
    saved = container.sh("iptables-save -c -t mangle")
    return {name: int(count) for count, name in re.findall(r"\[(\d+):\d+\] -A POSTROUTING -o (\S+) -p icmp", saved)}


def routing(container: CoreContainer) -> dict[str, str]:
    """Show everything that the container's routing is made of."""
    saved = container.sh("iptables-save")
    return {
        "iptables": "\n".join(line for line in re.sub(r"\[\d+:\d+\]", "", saved).splitlines() if line[:1] != "#"),
        "rules": container.sh("ip rule show"),
        "routes": container.sh("ip route show table all"),
    }


def way_of(container: CoreContainer, words: str) -> str:
    """Ask the kernel by which interface something leaves; what it says where it does not."""
    answer = container.sh(f"ip route get {words} 2>&1 || true")
    found = re.search(r"\bdev (\S+)", answer)
    return found[1] if found else answer.strip().splitlines()[-1]
