"""A real Docker engine for tests: images made on the spot, and containers that go away afterwards."""

import io
import os
import re
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_LABEL = "cell-backup-test"


def docker(*arguments: str, data: bytes | None = None) -> bytes:
    """Run the docker command line and give its output; fail with its words."""
    done = subprocess.run(["docker", *arguments], input=data, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise AssertionError(f"docker {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout


@pytest.fixture(scope="session")
def docker_host() -> str:
    """Give the engine's address, empty where Docker's default holds; skip where none answers."""
    reason = _why_no_engine()
    if reason and os.environ.get("CELL_BACKUP_REQUIRE_ENGINE") == "1":
        pytest.fail(f"CELL_BACKUP_REQUIRE_ENGINE=1, but {reason}")
    if reason:
        pytest.skip(reason)
    return os.environ.get("DOCKER_HOST", "")


def _why_no_engine() -> str | None:
    if shutil.which("docker") is None:
        return "there is no docker command"
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return "no Docker engine answers"
    busybox = shutil.which("busybox")
    if busybox is None or libraries_of(busybox):
        return "there is no static busybox to make images of"
    return None


@dataclass(frozen=True, slots=True)
class Images:
    """Name the images: busybox, busybox with this machine's GNU tar and sh, and nothing but `sleep`."""

    busybox: str
    gnu: str
    bare: str


@pytest.fixture(scope="session")
def images(docker_host: str) -> Iterator[Images]:
    """Make the images by `docker import`; they are removed at the end."""
    del docker_host
    tag = secrets.token_hex(4)
    made = Images(*(f"cell-backup-test-{kind}:{tag}" for kind in ("busybox", "gnu", "bare")))
    busybox = _busybox()
    docker("import", "-", made.busybox, data=_root({"bin/busybox": busybox}, links=_applets(busybox)))
    docker("import", "-", made.gnu, data=gnu_root())
    docker("import", "-", made.bare, data=_root({"bin/sleep": busybox}, links=()))
    yield made
    docker("rmi", "--force", made.busybox, made.gnu, made.bare)


def gnu_root() -> bytes:
    """Pack the root file system of a busybox with this machine's GNU tar and sh."""
    busybox = _busybox()
    own = {**_program("tar"), **_program("sh")}  # busybox's own sh would run its own tar, whatever lies in /bin
    return _root({"bin/busybox": busybox, **own}, links=_applets(busybox) - {"tar", "sh"})


def _busybox() -> Path:
    return Path(shutil.which("busybox") or "busybox")


def _applets(busybox: Path) -> set[str]:
    listed = subprocess.run([busybox, "--list"], capture_output=True, check=True, text=True).stdout
    return set(listed.split()) - {"busybox"}


def _program(name: str) -> dict[str, Path]:
    program = shutil.which(name)
    assert program is not None
    libraries = {library.lstrip("/"): Path(library) for library in libraries_of(program)}
    return {f"bin/{name}": Path(program).resolve(), **libraries}


def libraries_of(program: str | Path) -> list[str]:
    """Name the shared libraries that a program is linked with; none for a static one."""
    listed = subprocess.run(["ldd", program], capture_output=True, check=False, text=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def _root(files: dict[str, Path], *, links: Sequence[str] | set[str]) -> bytes:
    """Pack a root file system: these files, and the applets as links to busybox."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("tmp", "vol"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(directory)
        for name, source in files.items():
            data = source.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
        for name in sorted(links):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()


@dataclass(frozen=True, slots=True)
class TestContainer:
    """Know one running container, and the folder on this machine that is its /vol."""

    __test__ = False

    name: str
    volume: Path

    def sh(self, script: str) -> str:
        """Run a script in the container (which must have `sh`) and give what it prints."""
        return docker("exec", self.name, "sh", "-c", script).decode(errors="surrogateescape")


RunContainer = Callable[..., AbstractContextManager[TestContainer]]


@pytest.fixture
def run_container(images: Images, tmp_path: Path) -> RunContainer:
    """Give a context manager that starts a container: `with run_container(images.busybox, labels={…}) as c:`.

    `more` are further options of `docker run`.
    """

    @contextmanager
    def run(image: str, *, labels: dict[str, str] | None = None, more: Sequence[str] = ()) -> Iterator[TestContainer]:
        name = f"cell-test-{secrets.token_hex(4)}"
        volume = tmp_path / name
        volume.mkdir()
        volume.chmod(0o755)
        words = [f"--label={key}={value}" for key, value in {_LABEL: "1", **(labels or {})}.items()]
        # With KILL as its stop signal: `sleep` as process 1 does not listen to TERM.
        options = ["--network=none", "--stop-signal=KILL", f"--name={name}", f"--volume={volume}:/vol", *words]
        try:
            docker("run", "--detach", *options, *more, image, "/bin/sleep", "100000")
            yield TestContainer(name, volume)
        finally:
            docker("rm", "--force", "--volumes", name)
            # What the container's root made can only be removed by a container's root.
            mount = f"--volume={volume}:/vol"
            docker("run", "--rm", "--network=none", mount, images.busybox, "sh", "-c", "rm -rf /vol/* /vol/.[!.]*")

    return run
