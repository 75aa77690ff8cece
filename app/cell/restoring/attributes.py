"""Owner, mode, time and extended attributes of a file: read from a tar member or from disk, compared, set."""

import base64
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.archive.acls import attribute_records
from app.archive.headers import Member

_XATTR = b"SCHILY.xattr."
_NO_XATTRS = {errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.ENOSPC, errno.E2BIG, errno.EINVAL, errno.ERANGE}
_OURS = ("user.", "trusted.", "system.posix_acl_", "security.capability")

File = int | str | bytes
Xattrs = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Attributes:
    """Describe a file beside its contents; `mtime` is in nanoseconds, None where the time is left to the system."""

    mode: int
    uid: int
    gid: int
    mtime: int | None
    xattrs: Xattrs

    def to_json(self) -> dict[str, Any]:
        """Write it down."""
        xattrs = {name: base64.b64encode(value).decode() for name, value in self.xattrs.items()}
        return {"mode": self.mode, "uid": self.uid, "gid": self.gid, "mtime": self.mtime, "xattrs": xattrs}


def from_json(facts: Mapping[str, Any]) -> Attributes:
    """Read what `to_json` wrote."""
    xattrs = {name: base64.b64decode(value) for name, value in facts["xattrs"].items()}
    return Attributes(facts["mode"], facts["uid"], facts["gid"], facts["mtime"], xattrs)


def of_member(member: Member) -> Attributes:
    """Take them from a tar member, with the extended attributes and ACLs of its PAX records (star, GNU tar)."""
    xattrs: dict[str, bytes] = {}
    if member.records:
        acls, _ = attribute_records(member.records)
        for key, value in (member.records | acls).items():
            if key.startswith(_XATTR):
                name = os.fsdecode(key[len(_XATTR) :].replace(b"%3D", b"=").replace(b"%25", b"%"))
                xattrs |= {name: value} if _is_ours(name) else {}
    return Attributes(member.mode & 0o7777, member.uid, member.gid, member.mtime, xattrs)


def of_file(file: File, status: os.stat_result) -> Attributes:
    """Read them from disk (a descriptor, or a path that is not followed)."""
    return Attributes(status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime_ns, read_xattrs(file))


def read_xattrs(file: File) -> dict[str, bytes]:
    """Read the extended attributes that a restore keeps; those of security modules are the system's own matter."""
    follow = isinstance(file, int)
    try:
        names = [name for name in os.listxattr(file, follow_symlinks=follow) if _is_ours(name)]
        return {name: os.getxattr(file, name, follow_symlinks=follow) for name in names}
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
        return {}


def set_xattrs(file: File, wanted: Xattrs) -> list[str]:
    """Make a file's extended attributes the wanted ones; give the names that the file system refuses."""
    follow = isinstance(file, int)
    now = read_xattrs(file)
    refused = []
    for name in now.keys() - wanted.keys():
        os.removexattr(file, name, follow_symlinks=follow)
    for name, value in wanted.items():
        if now.get(name) != value:
            try:
                os.setxattr(file, name, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in _NO_XATTRS:
                    raise
                refused.append(name)
    return refused


def set_folder(folder: int, wanted: Attributes) -> bool:
    """Give an open folder its attributes, touching only what differs; tell whether all of it was allowed."""
    now = os.fstat(folder)
    allowed = (now.st_uid, now.st_gid) == (wanted.uid, wanted.gid) or give_to(folder, wanted)
    try:
        refused = set_xattrs(folder, wanted.xattrs)
        allowed = set_mode(folder, wanted.mode) and allowed
        if wanted.mtime is not None and os.fstat(folder).st_mtime_ns != wanted.mtime:
            os.utime(folder, ns=(now.st_atime_ns, wanted.mtime))
    except PermissionError:  # the folder is another user's, and this service does not run as root
        return False
    return allowed and not refused


def set_mode(file: int, mode: int) -> bool:
    """Set the mode of an open file; tell whether it has it: the kernel drops a setgid bit without a word (chmod(2))."""
    if os.fstat(file).st_mode & 0o7777 != mode:
        os.fchmod(file, mode)
    return os.fstat(file).st_mode & 0o7777 == mode


def give_to(file: int, wanted: Attributes) -> bool:
    """Set the owner and group of an open file; tell whether that was allowed."""
    try:
        os.fchown(file, wanted.uid, wanted.gid)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EINVAL}:  # the second: a user that this user namespace lacks
            raise
        return False
    return True


def _is_ours(name: str) -> bool:
    return name.startswith(_OURS)
