"""The instance key: a file in the state directory that API and worker share and nobody else reads."""

from pathlib import Path

from cryptography.fernet import Fernet

from app.jobs.state_dir import private_file, unusable

NAME = "instance.key"


def load_instance_key(state_dir: Path) -> Fernet:
    """Read the key, made at first use; raise InputError(INVALID_SETTING) for a file that is not ours alone."""
    path = state_dir / NAME
    try:
        return Fernet(private_file(path, Fernet.generate_key))
    except ValueError as error:
        hint = "Remove the file; jobs that wait with a passphrase then fail."
        raise unusable(path, "holds no key", hint=hint) from error
