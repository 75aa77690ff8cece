"""Crafted archives, given to the real service: each is refused with what it does, and not one file has changed."""

import tarfile
from collections.abc import Iterator

import pytest

from tests.faults.hostile_archives import (
    CRAFTED,
    PASSPHRASE,
    crafted,
    encrypted,
    member,
    rebuilt,
    special,
    with_member,
)
from tests.faults.hostile_ground import Ground, hostile_ground


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with hostile_ground() as made:
        yield made


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_archive(ground: Ground, case: str) -> None:
    ground.refuse(crafted(CRAFTED[case].members), {CRAFTED[case].code}, CRAFTED[case].says)


@pytest.mark.parametrize(
    "case", ["a name that climbs", "a link out of the cell", "a block device", "the same name twice"]
)
def test_a_crafted_archive_of_someone_who_knows_the_passphrase(ground: Ground, case: str) -> None:
    data = encrypted(crafted(CRAFTED[case].members))
    ground.refuse(data, {CRAFTED[case].code}, CRAFTED[case].says, passphrase=PASSPHRASE)


@pytest.mark.parametrize(
    "added",
    [
        special("services/mail/mailboxes/null", tarfile.CHRTYPE),
        special("services/mail/mailboxes/twin", tarfile.LNKTYPE, "data/vault/vault.key"),
        member("services/mail/mailboxes/../../../config/evil"),
        member("services/unknown/volume/evil"),
    ],
    ids=["a device", "a link into the cell", "a name that climbs", "a volume that the header does not know"],
)
def test_a_hostile_volume(ground: Ground, added: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> None:
    ground.refuse(rebuilt(ground.plain, with_member(added, at=-2)), {"archive_hostile"}, "services/")
