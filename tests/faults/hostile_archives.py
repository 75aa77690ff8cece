"""Archives that nobody should trust: damaged ones made of good ones, and crafted ones."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.archive.encryption import EncryptingSink
from app.archive.envelope import new_envelope

PASSPHRASE = "correct horse battery staple"
Members = Iterable[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]]
Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], list[tuple[tarfile.TarInfo, bytes]]]


def flipped(data: bytes, at: int, bit: int = 3) -> bytes:
    """Turn one bit over."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def flipped_content(data: bytes, at: int) -> bytes:
    """Turn over the first bit from a place on that makes a difference: gzip's own header has some that make none."""
    whole = gzip.decompress(data)
    for place in range(at, len(data)):
        changed = flipped(data, place)
        try:
            if gzip.decompress(changed) != whole:
                return changed
        except (OSError, EOFError, zlib.error):
            return changed
    raise AssertionError("no bit behind this place matters")


def cut(data: bytes, keep: float) -> bytes:
    """Keep so many bytes, or that part of them where it is less than 1; all but so many where it is negative."""
    return data[: int(len(data) * keep) if 0 < keep < 1 else int(keep)]


def lines(data: bytes) -> list[bytes]:
    """Give the lines of an encrypted archive, with their line breaks."""
    return data.splitlines(keepends=True)


def swapped(data: bytes, one: int, other: int) -> bytes:
    """Exchange two lines of an encrypted archive."""
    parts = lines(data)
    parts[one], parts[other] = parts[other], parts[one]
    return b"".join(parts)


def rebuilt(data: bytes, change: Change) -> bytes:
    """Unpack a plain archive, change its list of members, and pack it again."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        members = []
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            members.append((info, file.read() if file else b""))
    return packed(change(members))


def without(name: str) -> Change:
    return lambda members: [item for item in members if item[0].name != name]


def with_content(name: str, old: bytes, new: bytes) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> list[tuple[tarfile.TarInfo, bytes]]:
        changed = []
        for info, content in members:
            if info.name == name:
                assert old in content
                changed.append(member(name, content.replace(old, new, 1)))
            else:
                changed.append((info, content))
        return changed

    return change


def with_member(*added: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], at: int = 1) -> Change:
    """Put members behind the first ones."""
    pairs = [item if isinstance(item, tuple) else (item, b"") for item in added]
    return lambda members: [*members[:at], *pairs, *members[at:]]


def packed(members: Members) -> bytes:
    """Make a .tar.gz of members as they are, whatever they say."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as tar:
        for item in members:
            info, content = item if isinstance(item, tuple) else (item, b"")
            tar.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def member(name: str, content: bytes = b"hostile\n", *, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Make a member without contents: a link, a device, a FIFO, a folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o755
    info.devmajor, info.devminor = 1, 3
    return info


def without_content(name: str, size: int) -> tarfile.TarInfo:
    """Make a file that claims a size and has nothing."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def with_records(name: str, content: bytes, **records: str) -> tuple[tarfile.TarInfo, bytes]:
    """Make a file with PAX records of its own, whose names have dots for underscores."""
    info, content = member(name, content)
    info.pax_headers = {key.replace("_", "."): value for key, value in records.items()}
    return info, content


def with_target_in_record(link: tarfile.TarInfo, target: str) -> tarfile.TarInfo:
    """Give a link a PAX record with another target than its own header has."""
    link.pax_headers = {"linkpath": target}
    return link


def encrypted(plain: bytes) -> bytes:
    """Encrypt a .tar.gz as the service would."""
    envelope, data_key = new_envelope(PASSPHRASE, scrypt_n=1024)
    out: list[bytes] = []
    sink = EncryptingSink(out.append, envelope, data_key)
    sink.write(plain)
    sink.finish()
    return b"".join(out)


@dataclass(frozen=True, slots=True)
class Crafted:
    """Describe one crafted archive: its members beside good ones, the code it is refused with, a word it says."""

    members: Members
    code: str
    says: str


GOOD = (
    member("config/api/cell_config.json", b'{"cell_name": "evil"}\n'),
    member("data/vault/vault.key", b"evil\n"),
)


def crafted(hostile: Members) -> bytes:
    """Make an archive as a cell's own `make backup` does, with good members before and after the hostile ones."""
    return packed([*GOOD, *hostile, member("data/last.txt", b"last\n")])


HOSTILE = "archive_hostile"
DAMAGED = "archive_damaged"
CRAFTED = {
    "an absolute name": Crafted([member("/etc/evil")], HOSTILE, "/etc/evil"),
    "a name that climbs": Crafted([member("config/../../evil")], HOSTILE, "evil"),
    "a folder that climbs": Crafted([special("data/..", tarfile.DIRTYPE)], HOSTILE, r"data/\.\."),
    "a link out of the cell": Crafted([special("config/out", tarfile.SYMTYPE, "../../evil")], HOSTILE, "config/out"),
    "a link to an absolute path": Crafted([special("data/out", tarfile.SYMTYPE, "/etc")], HOSTILE, "data/out"),
    "a file through an earlier link": Crafted(
        [special("data/door", tarfile.SYMTYPE, "vault"), member("data/door/evil")], HOSTILE, "data/door"
    ),
    "a file through an earlier file": Crafted([member("data/door"), member("data/door/evil")], HOSTILE, "data/door"),
    "a hard link to an absolute path": Crafted(
        [special("data/twin", tarfile.LNKTYPE, "/etc/passwd")], HOSTILE, "data/twin"
    ),
    "a hard link that climbs": Crafted(
        [special("data/twin", tarfile.LNKTYPE, "../../etc/passwd")], HOSTILE, "data/twin"
    ),
    "a character device": Crafted([special("data/null", tarfile.CHRTYPE)], HOSTILE, "data/null"),
    "a block device": Crafted([special("data/disk", tarfile.BLKTYPE)], HOSTILE, "data/disk"),
    "a FIFO among the cell's files": Crafted([special("data/pipe", tarfile.FIFOTYPE)], HOSTILE, "data/pipe"),
    "the same name twice": Crafted([member("data/twice"), member("data/twice", b"other")], HOSTILE, ""),
    "a file and a folder of one name": Crafted(
        [member("data/both"), special("data/both", tarfile.DIRTYPE)], HOSTILE, ""
    ),
    "a name that differs in case": Crafted([member("Config/api/evil.json")], HOSTILE, "Config"),
    "another .env": Crafted([member(".ENV")], HOSTILE, "ENV"),
    "a setuid file": Crafted([member("data/tool", mode=0o4755)], HOSTILE, "data/tool"),
    "a setgid file": Crafted([member("data/tool", mode=0o2755)], HOSTILE, "data/tool"),
    "a record that renames the next": Crafted(
        [with_records("data/good", b"x", path="../../evil")], HOSTILE, r"\.\./evil"
    ),
    "a record that makes a name absolute": Crafted(
        [with_records("data/good", b"x", path="/etc/evil")], HOSTILE, "/etc/evil"
    ),
    "a record that turns a link outwards": Crafted(
        [with_target_in_record(special("data/door", tarfile.SYMTYPE, "vault"), "../../evil")],
        HOSTILE,
        r"data/door is a link to \.\./\.\./evil",
    ),
    "a record that turns a link to an absolute path": Crafted(
        [with_target_in_record(special("data/door", tarfile.SYMTYPE, "vault"), "/etc")],
        HOSTILE,
        "data/door is a link to /etc",
    ),
    "a record that turns a hard link outwards": Crafted(
        [with_target_in_record(special("data/twin", tarfile.LNKTYPE, "data/vault/vault.key"), "../../etc/passwd")],
        HOSTILE,
        "data/twin leaves its tree",
    ),
    "a part of a name that no disk takes": Crafted([member("data/" + "x" * 256)], HOSTILE, "data/x"),
    "a sparse map beyond the file's size": Crafted(
        [
            with_records(
                "data/holes",
                b"x" * 512,
                GNU_sparse_major="0",
                GNU_sparse_minor="1",
                GNU_sparse_numblocks="1",
                GNU_sparse_map="1048576,512",
                GNU_sparse_size="1024",
            )
        ],
        DAMAGED,
        "data/holes",
    ),
    "a sparse map that overlaps itself": Crafted(
        [
            with_records(
                "data/holes",
                b"x" * 1024,
                GNU_sparse_major="0",
                GNU_sparse_minor="1",
                GNU_sparse_numblocks="2",
                GNU_sparse_map="512,512,0,512",
                GNU_sparse_size="4096",
            )
        ],
        DAMAGED,
        "data/holes",
    ),
    "a hole of a million terabytes": Crafted(
        [
            with_records(
                "data/holes",
                b"x" * 512,
                GNU_sparse_major="0",
                GNU_sparse_minor="1",
                GNU_sparse_numblocks="1",
                GNU_sparse_map="0,512",
                GNU_sparse_size=str(1 << 60),
            )
        ],
        HOSTILE,
        "",
    ),
    "a file of a terabyte": Crafted([without_content("data/huge", 1 << 40)], HOSTILE, ""),
    "more members than anyone needs": Crafted(
        [member(f"data/many/{number}", b"") for number in range(3000)], HOSTILE, "members"
    ),
}
