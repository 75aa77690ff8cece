import pytest

from app.webhooks.addresses import Networks

NOT_PUBLIC = [
    *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.20.0.2", "192.168.1.1", "169.254.169.254"),
    *(
        "100.64.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
    ),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:0808:0808::1", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%lo", "fec0::1", "3fff::1", "ff02::1", "ff0e::1"),
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::1"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address: str) -> None:
    refusal = Networks(()).refusal(address, encrypted=True)
    assert refusal is not None
    assert "not a public address" in refusal


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_called_by_https_only(address: str) -> None:
    assert Networks(()).refusal(address, encrypted=True) is None
    refusal = Networks(("127.0.0.0/8",)).refusal(address, encrypted=False)
    assert refusal is not None
    assert "http" in refusal


def test_the_operator_allows_networks() -> None:
    networks = Networks(("172.20.0.0/16", "fd00::/8"))
    for address in ("172.20.0.7", "fd00::7"):
        assert networks.refusal(address, encrypted=False) is None
        assert networks.refusal(address, encrypted=True) is None
    for address in ("172.21.0.7", "fc00::7", "127.0.0.1", "::ffff:172.20.0.7"):
        assert networks.refusal(address, encrypted=True) is not None
