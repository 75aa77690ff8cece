import socket
from pathlib import Path

import pytest

from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import Code, InputError, PartError
from tests.support.fake_engine import FakeEngine
from tests.support.tls_front import make_authority, tls_front


def test_the_socket_that_docker_host_names_is_used(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        endpoint = Endpoint.resolve({"DOCKER_HOST": f"unix://{path}"})
        assert endpoint.url == f"unix://{path}"
        with endpoint.connect(timeout_seconds=5) as connection:
            assert connection.getpeername() == str(path)


def test_without_docker_host_the_first_usual_socket_that_is_there_is_used(tmp_path: Path) -> None:
    endpoint = Endpoint.resolve({"HOME": str(tmp_path)})
    assert [str(path) for path in endpoint.sockets] == [
        "/run/docker.sock",
        "/var/run/docker.sock",
        f"{tmp_path}/.docker/run/docker.sock",
    ]
    path = tmp_path / "second"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert Endpoint(sockets=(tmp_path / "first", path)).url == f"unix://{path}"


@pytest.mark.parametrize(
    "host",
    [
        "h:2375",
        "unix://relative",
        "unix://",
        "ssh://me@h",
        "npipe:////./pipe/x",
        "tcp://",
        "tcp://h:99999",
        "tcp://h:1/path",
        "tcp://h:x",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_a_hint(host: str) -> None:
    with pytest.raises(InputError) as raised:
        Endpoint.resolve({"DOCKER_HOST": host})
    assert raised.value.code is Code.INVALID_SETTING
    assert "DOCKER_HOST" in raised.value.message
    assert "unix://" in raised.value.hint


@pytest.mark.parametrize(
    ("host", "url"),
    [("tcp://h", "http://h:2375"), ("tcp://h:99", "http://h:99"), ("tcp://[::1]:99", "http://[::1]:99")],
)
def test_tcp_addresses(host: str, url: str) -> None:
    assert Endpoint.resolve({"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": ""}).url == url


def test_tls_without_usable_certificates_is_refused(tmp_path: Path) -> None:
    asked = {"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(InputError) as raised:
        Endpoint.resolve(asked)
    assert raised.value.code is Code.INVALID_SETTING
    assert str(tmp_path) in raised.value.message


async def test_an_engine_that_is_not_there_is_an_error_when_it_is_used_and_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": f"unix://{path}"}), stall_seconds=5)
    with pytest.raises(PartError) as raised:
        await engine.info()
    assert raised.value.code is Code.ENGINE_UNREACHABLE
    assert str(path) in raised.value.message
    async with FakeEngine(path):
        assert (await engine.info()).version == "20.10.0"
    await engine.close()


def test_a_socket_that_nobody_listens_at_is_unreachable(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(PartError) as raised:
        Endpoint.resolve({"DOCKER_HOST": f"unix://{path}"}).connect(timeout_seconds=5)
    assert raised.value.code is Code.ENGINE_UNREACHABLE


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    folder = tmp_path / "certificates"
    folder.mkdir()
    _, server = make_authority(folder)
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_bytes(server.read_bytes())
    return folder


async def test_a_volume_is_read_over_tls(tmp_path: Path, certificates: Path) -> None:
    from tests.engine.reading import read_all

    data = b"".join(number.to_bytes(4, "big") for number in range(1 << 18))
    async with (
        FakeEngine(tmp_path / "docker.sock") as fake,
        tls_front(tmp_path / "docker.sock", certificates / "server.pem") as port,
    ):
        fake.add_container("cell-a", {"/vol": data})
        asked = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
        engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": f"tcp://127.0.0.1:{port}", **asked}), stall_seconds=5)
        assert (await read_all(engine, "cell-a")).data == data
        fake.containers["cell-a"].state = "paused"
        assert (await read_all(engine, "cell-a")).data == data
        await engine.close()


async def test_a_server_of_another_authority_is_not_trusted(tmp_path: Path, certificates: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    _, foreign = make_authority(other)
    async with FakeEngine(tmp_path / "docker.sock"), tls_front(tmp_path / "docker.sock", foreign) as port:
        asked = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
        engine = DockerEngine(Endpoint.resolve({"DOCKER_HOST": f"tcp://127.0.0.1:{port}", **asked}), stall_seconds=5)
        with pytest.raises(PartError) as raised:
            await engine.info()
        assert raised.value.code is Code.ENGINE_UNREACHABLE
        await engine.close()
