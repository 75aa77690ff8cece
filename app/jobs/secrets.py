"""Sealed secrets on Redis: Redis sees ciphertext only, the key stays in the state directory."""

from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken

from app.errors import Code, JobError
from app.jobs.connection import RedisLink
from app.jobs.refusals import secret_gone

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

    async def open(self, job_id: str) -> bytes:
        """Give the secret, which stays until it is dropped; raise JobError(SECRET_GONE) where it is not there."""
        # not forgotten at once: a reply that is lost on its way would take the secret with it
        token = await self._link.run(lambda client: client.get(self._prefix + job_id))
        if token is None:
            raise secret_gone(job_id)
        return self._unsealed(job_id, token)

    async def drop(self, job_id: str) -> None:
        """Forget the secret, if it is there."""
        await self._link.run(lambda client: client.delete(self._prefix + job_id))

    async def ping(self) -> None:
        """Raise UnavailableError(REDIS_UNAVAILABLE) where the keeper is away."""
        await self._link.ping()

    def _unsealed(self, job_id: str, token: bytes) -> bytes:
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
