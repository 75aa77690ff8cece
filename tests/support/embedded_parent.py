"""A process that runs the embedded server: `embedded_parent.py STATE_DIR [USER]`, until its input ends."""

import asyncio
import os
import sys
from pathlib import Path

from app.errors import BackupError
from app.jobs.connection import open_link
from app.jobs.embedded import embedded_server


async def main(state_dir: str, user: str | None = None) -> None:
    if user is not None:  # after the imports: that user may not be able to read where they come from
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    try:
        async with embedded_server(Path(state_dir)) as url, open_link(url, patience=0) as link:
            await link.run(lambda client: client.set("key", "value"))
            info = await link.run(lambda client: client.info("server"))
            _say(f"runs {info['process_id']}")
            await asyncio.to_thread(sys.stdin.read)
        _say("ended")
    except BackupError as error:
        _say(f"{error.code} {error.message}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
