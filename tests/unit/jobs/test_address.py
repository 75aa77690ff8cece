from pathlib import Path

import pytest

from app.errors import Code, InputError
from app.jobs.address import RedisAddress, parse_redis_url

GOOD = [
    ("redis://", RedisAddress()),
    ("redis://cache.lan", RedisAddress(host="cache.lan")),
    ("redis://10.0.0.9:6400/7", RedisAddress(host="10.0.0.9", port=6400, database=7)),
    ("redis://[::1]:6400/0", RedisAddress(host="::1", port=6400)),
    ("redis://h/?db=3", RedisAddress(host="h", database=3)),
    ("redis://:p%40ss%2Fw%3Ard%25@h", RedisAddress(host="h", password="p@ss/w:rd%")),
    ("redis://us%C3%A9r:p%20%23@h/2", RedisAddress(host="h", username="usér", password="p #", database=2)),
    ("rediss://h", RedisAddress(host="h", tls=True)),
    ("rediss://h?ssl_cert_reqs=none", RedisAddress(host="h", tls=True, cert_reqs="none")),
    ("unix:///run/redis.sock", RedisAddress(socket="/run/redis.sock")),
    ("unix://:s%40@/run/my%20redis?db=4", RedisAddress(socket="/run/my redis", password="s@", database=4)),
    ("unix:///run/%FF.sock", RedisAddress(socket="/run/\udcff.sock")),
]

BAD = [
    "",
    "hunter2",
    "localhost:6379/hunter2",
    "http://:hunter2@h",
    "valkey+unix:///hunter2",
    "redis://:hunter2/x@h",
    "redis://:hunter2#x@h",
    "redis://:x?hunter2=1@h",
    "redis://:x?hunter2@h",
    "redis://:hunter2@h:port",
    "redis://:hunter2@h:65536",
    "redis://:hunter2@[h",
    "redis://:hunter2@h/hunter2",
    "redis://:hunter2@h/-1",
    "redis://:hunter2@h/²",
    "redis://:hunter2@h?ssl_cert_reqs=required",
    "rediss://:hunter2@h?ssl_cert_reqs=hunter2",
    "rediss://:hunter2@h?ssl_ca_certs=/hunter2/none.pem",
    "unix://:hunter2@",
    "unix://hunter2.sock",
]


@pytest.mark.parametrize(("url", "address"), GOOD)
def test_an_address_is_read_with_everything_decoded(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize("url", BAD)
def test_a_bad_address_is_refused_and_no_part_of_it_is_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_redis_url(url)
    assert caught.value.code is Code.INVALID_SETTING
    assert "CELL_BACKUP_REDIS_URL" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_ca_file_is_taken_for_tls(tmp_path: Path) -> None:
    ca = tmp_path / "my ca.pem"
    ca.touch()
    address = parse_redis_url(f"rediss://h?ssl_ca_certs={ca}&ssl_cert_reqs=optional")
    assert (address.ca_certs, address.cert_reqs, address.check_hostname) == (str(ca), "optional", True)


def test_without_certificate_checks_the_host_name_is_not_checked_either() -> None:
    assert not parse_redis_url("rediss://h?ssl_cert_reqs=none").check_hostname


def test_the_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(parse_redis_url("redis://me:hunter2@h"))
