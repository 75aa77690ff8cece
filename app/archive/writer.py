"""Writes one archive: a tar stream through gzip and, where wanted, encryption, in one pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.archive import headers
from app.archive.compress import GzipSink
from app.archive.encryption import EncryptingSink
from app.archive.envelope import Envelope
from app.archive.files import FileMembers
from app.archive.headers import Member
from app.archive.manifest import HEADER_NAME, MANIFEST_NAME, SUMS_NAME, Header, Manifest, dump_header, dump_manifest
from app.archive.relay import Meter, Pieces, TarRelay
from app.archive.stages import Stage
from app.archive.sums import SumsSpool

Write = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Lock:
    """Hold what makes an archive an encrypted one: its first line and its data key."""

    envelope: Envelope
    data_key: bytes


class ArchiveWriter:
    """Put members into an archive, in the order of the format; made by `archive_writer`."""

    def __init__(self, put: Callable[[Pieces], None], spool: SumsSpool) -> None:
        self.meter = Meter()
        self._put = put
        self._sums = spool
        self._time = 0

    def begin(self, header: Header) -> None:
        """Write header.json."""
        self._time = int(header.created_at.timestamp() * 1e9)
        self._add_document(HEADER_NAME, dump_header(header))

    def files(self, root: Path) -> FileMembers:
        """Give what writes the files below a root."""
        return FileMembers(root, self._put_bytes, self._sums, self.meter)

    def relay(self, prefix: str, exclude: Sequence[str] = ()) -> TarRelay:
        """Give what passes one volume's tar stream through, under a prefix."""
        return TarRelay(prefix, self._put, self._sums, self.meter, exclude=exclude)

    def finish(self, manifest: Manifest) -> None:
        """Write SHA256SUMS, manifest.json and the end of the archive."""
        head = Member(SUMS_NAME, size=self._sums.size, mtime=self._time)
        self._put_bytes(headers.encode(head))
        for piece in self._sums.pieces():
            self._put_bytes(piece)
        self._put_bytes(bytes(headers.padding(head.size)))
        self._add_document(MANIFEST_NAME, dump_manifest(manifest))
        self._put_bytes(headers.END_OF_ARCHIVE)

    def _add_document(self, name: bytes, content: bytes) -> None:
        head = headers.encode(Member(name, size=len(content), mtime=self._time))
        self._put([head, content, bytes(headers.padding(len(content)))])

    def _put_bytes(self, data: bytes) -> None:
        if data:
            self._put([data])


@contextmanager
def archive_writer(write: Write, spool_dir: Path, *, lock: Lock | None, gzip_level: int) -> Iterator[ArchiveWriter]:
    """Open a writer whose finished bytes go to `write`; leaving the block well has written all of them.

    Compressing and encrypting run in two threads of their own. Raises what `write` raises.
    """
    encrypting = EncryptingSink(write, lock.envelope, lock.data_key) if lock else None
    with closing(SumsSpool(spool_dir)) as spool:
        with Stage("store", encrypting.write if encrypting else write) as storing:
            gzip = GzipSink(storing.put, gzip_level)
            with Stage("compress", _compress(gzip)) as compressing:
                yield ArchiveWriter(compressing.put, spool)
            gzip.finish()
        if encrypting:
            encrypting.finish()


def _compress(gzip: GzipSink) -> Callable[[Pieces], None]:
    def work(pieces: Pieces) -> None:
        for piece in pieces:
            gzip.write(piece)

    return work
