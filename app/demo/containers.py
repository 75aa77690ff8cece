"""Two small service containers, made of the host's own busybox: nothing is downloaded."""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.cell.manifests import Volume
from app.cell.sample_services import make_sample_volumes
from app.cell.services import PREFIX, SERVICE_LABEL, VOLUMES_LABEL
from app.demo.undoing import signals_held
from app.engine.endpoint import Endpoint
from app.errors import Code, InputError, PartError

_LABEL = "cell-backup-demo"
_MAIL_BYTES = 8_000_000
_SERVICE_USER = 5000
_LIFE_SECONDS = "1800"
_LIMIT = 60.0
_PROBE_LIMIT = 10.0


class Docker:
    """Run the docker command; raise PartError ENGINE_UNREACHABLE where there is none, or no engine."""

    def __init__(self) -> None:
        if shutil.which("docker") is None:
            raise PartError(Code.ENGINE_UNREACHABLE, "there is no docker command")
        self._environment = _environment()
        self("version", limit=_PROBE_LIMIT)

    def __call__(self, *arguments: str, data: bytes = b"", limit: float = _LIMIT) -> str:
        """Give what the command prints; raise PartError ENGINE_ERROR with its words."""
        return self.output(*arguments, data=data, limit=limit).decode(errors="replace")

    def output(self, *arguments: str, data: bytes = b"", limit: float = _LIMIT) -> bytes:
        """Give the bytes that the command writes; raises as a call does."""
        return _output("docker", *arguments, data=data, environment=self._environment, limit=limit)


def _output(
    program: str,
    *arguments: str,
    data: bytes = b"",
    environment: Mapping[str, str] | None = None,
    limit: float = _PROBE_LIMIT,
) -> bytes:
    name = f"'{Path(program).name} {arguments[0]}'"
    try:
        with signals_held():
            done = subprocess.run(
                [program, *arguments], input=data, capture_output=True, check=False, env=environment, timeout=limit
            )
    except subprocess.TimeoutExpired as error:
        raise PartError(Code.ENGINE_ERROR, f"{name} took longer than {limit:.0f} seconds") from error
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split())
        raise PartError(Code.ENGINE_ERROR, f"{name} failed: {words}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Point the command at the engine that the service will use, whatever context was chosen for the command."""
    try:
        address = Endpoint.resolve(os.environ).url
    except InputError as error:
        raise PartError(Code.ENGINE_UNREACHABLE, error.message) from error
    environment = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
    environment["DOCKER_HOST"] = environment.get("DOCKER_HOST") or address
    return environment


@contextmanager
def service_containers(volumes: Mapping[str, Volume], work: Path) -> Iterator[Docker]:
    """Run the containers of these volumes, by service id, while the block runs; gives what speaks to them.

    Raises PartError where that cannot be done: no engine, no static busybox, or an engine that refuses.
    """
    docker = Docker()
    _check_free(docker, volumes)
    busybox = _static_busybox()
    folders = make_sample_volumes(work / "volumes", mail_bytes=_MAIL_BYTES)
    mark = next(iter(volumes.values())).container
    image = f"{_LABEL}:{mark}"
    try:
        # an engine fills a new volume with what its image has at that path
        contents = {volume.path: folders[service] for service, volume in volumes.items()}
        docker("import", "-", image, data=_root_file_system(busybox, contents))
        for volume in volumes.values():
            own = f"{_LABEL}={mark}"
            mount = f"--mount=type=volume,destination={volume.path},volume-label={own}"
            options = ["--network=none", f"--name={volume.container}", f"--label={own}", mount]
            docker("run", "--detach", *options, image, "/bin/sleep", _LIFE_SECONDS)
        yield docker
    finally:
        _remove(docker, mark, image)


def _remove(docker: Docker, mark: str, image: str) -> None:
    # by label, because a container that could not start is there all the same
    containers = docker("ps", "--all", "--quiet", f"--filter=label={_LABEL}={mark}").split()
    if containers:
        docker("rm", "--force", "--volumes", *containers)
    if docker("images", "--quiet", image).strip():
        docker("rmi", image)


def _check_free(docker: Docker, volumes: Mapping[str, Volume]) -> None:
    """Refuse where a container of this host says by its labels that it belongs to a service of the same id.

    The backup of the sample cell would read that container's data too.
    """
    columns = f'{{{{.Names}}}}\t{{{{.Label "{SERVICE_LABEL}"}}}}'
    for line in docker("ps", "--all", f"--filter=label={VOLUMES_LABEL}", f"--format={columns}").splitlines():
        name, _, service = line.partition("\t")
        if (service or name.removeprefix(PREFIX)) in volumes:
            message = f"the container {name} of this host would become part of the sample cell by its labels"
            raise PartError(Code.ENGINE_ERROR, message)


def _static_busybox() -> str:
    found = shutil.which("busybox")
    if found is None:
        raise PartError(Code.ENGINE_ERROR, "there is no busybox on this host to make them of")
    linked = subprocess.run(["ldd", found], capture_output=True, check=False, text=True).stdout
    if "(0x" in linked:
        raise PartError(Code.ENGINE_ERROR, f"{found} is not static (Debian's package is busybox-static)")
    return found


def _root_file_system(busybox: str, contents: Mapping[str, Path]) -> bytes:
    """Pack busybox with all its applets, and these folders at their paths."""
    applets = _output(busybox, "--list").decode().split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(Path(busybox).resolve(), "bin/busybox")
        for applet in sorted(set(applets) - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, folder in contents.items():
            tar.add(folder, path.lstrip("/"), filter=_owned_by_the_service)
    return packed.getvalue()


def _owned_by_the_service(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = _SERVICE_USER
    member.uname = member.gname = ""
    return member
