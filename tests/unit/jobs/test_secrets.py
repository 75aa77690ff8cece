from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.errors import Code, JobError
from app.jobs.connection import open_link
from app.jobs.secrets import RedisSecretBox
from tests.support.redis_server import RedisServer

NAMESPACE = "cell-backup:1"
SECRET = b"correct horse battery staple"


@pytest.fixture
def key() -> Fernet:
    return Fernet(Fernet.generate_key())


async def test_redis_sees_ciphertext_only_and_forgets_it_when_told_or_in_seven_days(
    own_redis: RedisServer, key: Fernet
) -> None:
    async with open_link(own_redis.url, patience=0) as link:
        await RedisSecretBox(link, key, namespace=NAMESPACE).seal("job-0001", SECRET)
        name = f"{NAMESPACE}:secret:job-0001"
        assert SECRET not in await link.run(lambda client: client.dump(name))
        assert 6.9 < await link.run(lambda client: client.ttl(name)) / 86400 <= 7
        await RedisSecretBox(link, key, namespace=NAMESPACE).drop("job-0001")
        assert await link.run(lambda client: client.keys("*")) == []
    on_disk = _files(own_redis.directory)
    assert b"job-0001" in on_disk
    assert SECRET not in on_disk


async def test_a_secret_of_another_job_is_refused(redis_url: str, key: Fernet) -> None:
    async with open_link(redis_url, patience=0) as link:
        box = RedisSecretBox(link, key, namespace=NAMESPACE)
        await box.seal("job-0001", SECRET)
        await link.run(lambda client: client.rename(f"{NAMESPACE}:secret:job-0001", f"{NAMESPACE}:secret:job-1"))
        await _gone(box, "job-1")


async def test_a_secret_sealed_with_another_key_is_refused_and_says_what_to_do(redis_url: str, key: Fernet) -> None:
    async with open_link(redis_url, patience=0) as link:
        other = RedisSecretBox(link, Fernet(Fernet.generate_key()), namespace=NAMESPACE)
        await other.seal("job-0001", SECRET)
        error = await _gone(RedisSecretBox(link, key, namespace=NAMESPACE), "job-0001")
    assert "CELL_BACKUP_STATE_DIR" in error.hint


async def test_a_changed_secret_is_refused(redis_url: str, key: Fernet) -> None:
    async with open_link(redis_url, patience=0) as link:
        box = RedisSecretBox(link, key, namespace=NAMESPACE)
        await box.seal("job-0001", SECRET)
        await link.run(lambda client: client.setrange(f"{NAMESPACE}:secret:job-0001", 60, b"x" * 8))
        await _gone(box, "job-0001")


def _files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def _gone(box: RedisSecretBox, job_id: str) -> JobError:
    with pytest.raises(JobError) as caught:
        await box.open(job_id)
    assert caught.value.code is Code.SECRET_GONE
    assert SECRET.decode() not in caught.value.message
    return caught.value
