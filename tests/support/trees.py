"""Directory trees with everything a file system can hold: how to build one, describe one, and compare two.

Paths are bytes relative to a tree's root; all work goes through directory descriptors, so that they may be longer than
one system call takes.
"""

import errno
import hashlib
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

AS_ROOT = os.geteuid() == 0
BLOCK = 4096
_NOBODY = 2**32 - 1
_ORDINARY = 65534

ODD_NAMES = (
    b"new\nline",
    b"carriage\rreturn",
    b"tab\there",
    b"quote'\"`",
    b"back\\slash\\n",
    b"-dash",
    b"--checkpoint-action=exec=false",
    b" spaces around ",
    b"not utf-8 \xff\xfe\x80",
    "snow☃man é".encode(),
    b"*?[glob]{a,b}",
    b"colon:and;semi",
    b"=",
    b"\x01\x7f",
    b"..hidden",
    b"n" * 255,
    b"\xc3\xa9" * 127,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what a tree shall hold; what the tests' rights or the file system don't allow is left out anyway."""

    long_paths: bool = True
    long_links: bool = True
    exact_times: bool = True
    large_owners: bool = True
    xattrs: bool = True
    sparse: bool = True
    special: bool = True


EVERYTHING = Wanted()
PLAIN = Wanted(
    long_paths=False,
    long_links=False,
    exact_times=False,
    large_owners=False,
    xattrs=False,
    sparse=False,
    special=False,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Describe one file; `names` are all the names of its inode, `map` the extents that hold data."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    digest: str
    target: bytes
    device: int
    names: tuple[bytes, ...]
    xattrs: tuple[tuple[str, bytes], ...]
    map: tuple[tuple[int, int], ...]


Tree = dict[bytes, Facts]


@contextmanager
def folder(root: Path, *parts: bytes) -> Iterator[int]:
    """Open a directory below the root, and make what is missing of it."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=descriptor)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def ordinary_user(folder: Path) -> Iterator[None]:
    """Give the folder to an ordinary user and take that user's rights, where the tests run as root."""
    if not AS_ROOT:
        yield
        return
    os.chown(folder, _ORDINARY, _ORDINARY)
    os.setegid(_ORDINARY)
    os.seteuid(_ORDINARY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def write_at(directory: int, name: bytes, content: bytes = b"", mode: int = 0o644) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
        os.fchmod(descriptor, mode)


def write_sparse(path: Path, size: int, segments: Sequence[tuple[int, bytes]]) -> Path:
    """Write a file of `size` bytes that is a hole but for its segments."""
    with path.open("xb") as file:
        for offset, content in segments:
            file.seek(offset)
            file.write(content)
        file.truncate(size)
    return path


def build(root: Path, wanted: Wanted = EVERYTHING) -> None:
    """Fill an empty directory with everything that is wanted and can be had here."""
    _build_ordinary(root, ODD_NAMES if wanted.long_paths else [name for name in ODD_NAMES if len(name) < 90])
    _build_links(root, long=wanted.long_links)
    if wanted.long_paths:
        _build_long_paths(root)
    if wanted.sparse:
        _build_sparse(root)
    if wanted.special:
        os.mkfifo(root / "fifo", 0o640)
        if AS_ROOT:
            os.mknod(root / "char", stat.S_IFCHR | 0o620, os.makedev(1, 3))
            os.mknod(root / "block", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    if AS_ROOT:
        _build_owners(root, large=wanted.large_owners)
    if wanted.xattrs:
        _build_xattrs(root)
    _set_times(root, exact=wanted.exact_times)


def _build_ordinary(root: Path, odd_names: Sequence[bytes]) -> None:
    with folder(root, b"ordinary") as here:
        for size in (0, 1, 511, 512, 513, 1024, 100_000):
            write_at(here, b"size-%d" % size, os.urandom(size))
        for mode in (0o4755, 0o2755, 0o1644, 0o7777, 0o400):
            write_at(here, b"mode-%04o" % mode, b"%o" % mode, mode)
    with folder(root, b"odd") as here:
        for name in odd_names:
            write_at(here, name, name)
    for name, mode in ((b"empty", 0o755), (b"sticky", 0o1777), (b"setgid", 0o2750), (b"-d\n", 0o700)):
        with folder(root, b"folders", name) as here:
            os.fchmod(here, mode)


def _build_links(root: Path, *, long: bool) -> None:
    with folder(root, b"links", b"hard") as hard, folder(root, b"links") as here:
        write_at(hard, b"first", b"shared contents")
        os.link(b"first", b"second", src_dir_fd=hard, dst_dir_fd=hard)
        os.link(b"first", b"third\n\\", src_dir_fd=hard, dst_dir_fd=here)
        os.symlink(b"twin", b"twin", dir_fd=hard)
        os.link(b"twin", b"twin-of-twin", src_dir_fd=hard, dst_dir_fd=hard, follow_symlinks=False)
        targets = [b"hard/first", b"../nowhere", b"/etc/passwd", b"../../../..", b"\xff\n", b"t" * 99, b"t" * 100]
        if long:
            targets += [b"t" * 101, b"u/" * 2000, b"x" * 4095]
        for number, target in enumerate(targets):
            os.symlink(target, b"to-%d" % number, dir_fd=here)


def _build_long_paths(root: Path) -> None:
    for length in range(95, 106):
        with folder(root, b"long", b"%03d" % length) as here:
            write_at(here, b"f" * (length - 9), b"%d" % length)
    for length in (150, 154, 155, 156, 200, 255):
        with folder(root, b"long", b"p" * length, b"q" * 99) as here:
            write_at(here, b"file", b"%d" % length)
    with folder(root, b"long", *[b"%02d" % n + b"d" * 250 for n in range(15)], b"e" * 255) as here:
        write_at(here, b"deepest", b"4 KiB below")
        os.link(b"deepest", b"same", src_dir_fd=here, dst_dir_fd=here)
        os.symlink(b"deepest", b"link", dir_fd=here)


def _build_sparse(root: Path) -> None:
    at = root / "sparse"
    at.mkdir()
    size = 2 << 20
    data = os.urandom(BLOCK)
    write_sparse(at / "hole-first", size, [(size - BLOCK, data)])
    write_sparse(at / "hole-last", size, [(0, data)])
    write_sparse(at / "hole-between", size, [(0, data), (size // 2, data), (size - 100, data[:100])])
    write_sparse(at / "odd-end", size + 17, [(BLOCK * 3, data)])
    write_sparse(at / "only-hole", size, [])
    write_sparse(at / "many-segments", 120 * 4 * BLOCK, [(4 * BLOCK * n, b"%04d" % n * 1024) for n in range(120)])
    write_sparse(at / ("long-name-" * 20), size, [(4 * BLOCK * n, data) for n in range(1, 7)])


def _build_owners(root: Path, *, large: bool) -> None:
    owners = [(1000, 1000), (0, 33), (65534, 65534), (2097151, 2097151)]
    if large:
        owners += [(2097152, 0), (3_000_000, 4_000_000), (2**31, 2**32 - 2)]
    with folder(root, b"owners") as here:
        for uid, gid in owners:
            name = b"%d-%d" % (uid, gid)
            write_at(here, name, name)
            os.chown(name, uid, gid, dir_fd=here)
            os.symlink(b"target", name + b"-link", dir_fd=here)
            os.chown(name + b"-link", uid, gid, dir_fd=here, follow_symlinks=False)


def _build_xattrs(root: Path) -> None:
    at = root / "xattrs"
    at.mkdir()
    # linux/posix_acl_xattr.h: version 2, then tag, rights and id of owner, user 1234, group, mask and others
    entries = ((1, 6, _NOBODY), (2, 4, 1234), (4, 4, _NOBODY), (16, 4, _NOBODY), (32, 4, _NOBODY))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    sets = {
        "binary": {"user.binary": b"\0\xff\n=%\n12 path=x\n", "user.empty": b""},
        "odd-name": {"user.a=b%3D": b"equals", "user.new\nline": b"1", "user.100%": b"2"},
        "large": {"user.large": os.urandom(3000)},
        "acl": {"system.posix_acl_access": acl},
        "trusted": {"trusted.overlay.opaque": b"y"},
        "capability": {"security.capability": b"\x01\0\0\x02\0\x04\0\0" + bytes(12)},
    }
    for name, attributes in sets.items():
        path = at / name
        path.write_bytes(name.encode())
        path.chmod(0o644)
        for key, value in attributes.items():
            _try_xattr(path, key, value)
    (at / "folder").mkdir()
    _try_xattr(at / "folder", "user.on.folder", b"\x80")
    (at / "link").symlink_to("binary")
    _try_xattr(at / "link", "trusted.on.link", b"\x81")


def _try_xattr(path: Path, key: str, value: bytes) -> None:
    try:
        os.setxattr(path, key, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.EINVAL}:
            raise


def _set_times(root: Path, *, exact: bool) -> None:
    times = [0, 1, 10**9, 1_700_000_000 * 10**9, (2**31 - 1) * 10**9]
    if exact:
        times += [1_700_000_000 * 10**9 + 123456789, 10**9 - 1, -1, -(10**9), -1_500_000_001, 2**33 * 10**9 + 5]
    with folder(root, b"times") as here:
        for number, mtime in enumerate(times):
            write_at(here, b"%d" % number)
            os.utime(b"%d" % number, ns=(0, mtime), dir_fd=here)
            os.symlink(b"x", b"%d-link" % number, dir_fd=here)
            os.utime(b"%d-link" % number, ns=(0, mtime), dir_fd=here, follow_symlinks=False)
    for number, (_, folders, files, here) in enumerate(os.fwalk(os.fsencode(root), topdown=False)):
        for name in [*files, *folders]:
            if not exact:
                seconds = os.lstat(name, dir_fd=here).st_mtime_ns // 10**9
                os.utime(name, ns=(0, seconds * 10**9), dir_fd=here, follow_symlinks=False)
        os.utime(here, ns=(0, (1_600_000_000 + number) * 10**9 + (number if exact else 0)))


def describe(root: Path) -> Tree:
    """Describe everything below a root and the root itself, which is called `.`."""
    tree: Tree = {}
    names: dict[tuple[int, int], list[bytes]] = {}
    inodes: dict[bytes, tuple[int, int]] = {}
    top = os.fsencode(root)
    for path, folders, files, here in os.fwalk(top):
        inside = path[len(top) + 1 :]
        for name in [*files, *(item for item in folders if stat.S_ISLNK(os.lstat(item, dir_fd=here).st_mode))]:
            full = inside + b"/" + name if inside else name
            status = os.lstat(name, dir_fd=here)
            inodes[full] = (status.st_dev, status.st_ino)
            names.setdefault(inodes[full], []).append(full)
            tree[full] = _facts(name, here, status)
        tree[inside or b"."] = replace(_facts(b".", here, os.fstat(here)), size=0)
    for full, inode in inodes.items():
        tree[full] = replace(tree[full], names=tuple(sorted(names[inode])))
    return tree


def _facts(name: bytes, directory: int, status: os.stat_result) -> Facts:
    # a path of its own through /proc, as neither xattrs nor long paths know directory descriptors
    path = b"/proc/self/fd/%d/%s" % (directory, name)
    kind = stat.S_IFMT(status.st_mode)
    digest, extents = _contents(path, status.st_size) if kind == stat.S_IFREG else ("", ())
    try:
        keys = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        keys = []
    return Facts(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=status.st_size if kind == stat.S_IFREG else 0,
        digest=digest,
        target=os.readlink(name, dir_fd=directory) if kind == stat.S_IFLNK else b"",
        device=status.st_rdev,
        names=(),
        xattrs=tuple(sorted((key, os.getxattr(path, key, follow_symlinks=False)) for key in keys)),
        map=extents,
    )


def _contents(path: bytes, size: int) -> tuple[str, tuple[tuple[int, int], ...]]:
    descriptor = os.open(path, os.O_RDONLY)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        extents, at = [], 0
        while at < size:
            try:
                start = os.lseek(descriptor, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            extents.append((start, at))
    return digest, tuple(extents)


def differences(before: Tree, after: Tree, *, ignoring: Sequence[str] = ()) -> list[str]:
    """Say what two trees do not have in common, one line a file and fact; empty where they are the same."""
    found = [f"{path!r} is missing" for path in sorted(before.keys() - after.keys())]
    found += [f"{path!r} is new" for path in sorted(after.keys() - before.keys())]
    facts = [name for name in Facts.__slots__ if name not in ignoring]
    for path in sorted(before.keys() & after.keys()):
        for name in facts:
            old, new = getattr(before[path], name), getattr(after[path], name)
            if old != new:
                found.append(f"{path!r}: {name} was {old!r:.200} and is {new!r:.200}")
    return found
