"""The dialects of tar that a volume may have to be written in."""

from enum import StrEnum


class Dialect(StrEnum):
    """Name what the reader of a tar stream understands.

    PAX: GNU tar, everything. GNU: busybox and others, which know GNU's long names but skip PAX records, and know no
    sparse members. GO: the engine's archive endpoint (Go's archive/tar), which reads PAX, xattrs and sparse members,
    but no SCHILY.acl records.
    """

    PAX = "pax"
    GNU = "gnu"
    GO = "go"
