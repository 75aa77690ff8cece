"""Sealed secrets on Redis: Redis sees ciphertext only, the key stays in the state directory."""

from datetime import timedelta
from typing import Any

from arq.connections import ArqRedis
from cryptography.fernet import Fernet, InvalidToken

from app.errors import Code, JobError
from app.jobs.connection import RedisLink

LIFETIME = timedelta(days=7)  # as long as a job may wait in the queue


class RedisSecretBox:
    """Keep one secret a job on Redis, sealed with the instance key and bound to the job's id."""

    def __init__(self, link: RedisLink, key: Fernet, *, namespace: str) -> None:
        self._link = link
        self._key = key
        self._prefix = f"{namespace}:secret:"

    async def seal(self, job_id: str, secret: bytes) -> None:
        """Keep the secret for one job, encrypted under the instance key."""
        token = self._key.encrypt(_label(job_id) + secret)
        await self._link.run(lambda client: client.set(self._prefix + job_id, token, ex=LIFETIME))

    async def take(self, job_id: str) -> bytes:
        """Give the secret back once and forget it; raise JobError(SECRET_GONE) where it is not there."""

        async def fetch(client: ArqRedis) -> list[Any]:
            # GETDEL would do, but Redis has it only since 6.2
            async with client.pipeline(transaction=True) as pipe:
                pipe.get(self._prefix + job_id)
                pipe.delete(self._prefix + job_id)
                return await pipe.execute()

        token, _ = await self._link.run(fetch)
        if token is None:
            raise JobError(Code.SECRET_GONE, f"The passphrase of job {job_id} was taken already, or waited too long.")
        return self._open(job_id, token)

    async def drop(self, job_id: str) -> None:
        """Forget the secret, if it is there."""
        await self._link.run(lambda client: client.delete(self._prefix + job_id))

    async def ping(self) -> None:
        """Raise UnavailableError(REDIS_UNAVAILABLE) where the keeper is away."""
        await self._link.ping()

    def _open(self, job_id: str, token: bytes) -> bytes:
        try:
            sealed = self._key.decrypt(token)
        except InvalidToken as error:
            raise JobError(
                Code.SECRET_GONE,
                f"The passphrase of job {job_id} was sealed with another instance key.",
                hint="API and worker need the same CELL_BACKUP_STATE_DIR; then start the job again.",
            ) from error
        if not sealed.startswith(_label(job_id)):
            raise JobError(Code.SECRET_GONE, f"What was kept for job {job_id} belongs to another job.")
        return sealed[len(_label(job_id)) :]


def _label(job_id: str) -> bytes:
    return job_id.encode() + b"\0"
