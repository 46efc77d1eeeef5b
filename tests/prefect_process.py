"""The program of the Prefect server that the processes of one session of tests share.

It writes its address to ``FOLDER/address`` and serves until no process holds a lock of ``FOLDER/users`` any more: the
system takes back the lock of one that was killed, too. ``FOLDER/empty.db`` is its database as it was before anybody had
used it: another server that begins with a copy does not make all tables step by step.

Arguments: the folder, which also has its database.
"""

import fcntl
import gc
import os
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path


def main(folder: Path) -> None:
    database = f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
    os.environ |= {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    threading.Thread(target=end_with_users, args=(folder,), daemon=True).start()
    import uvicorn

    # Of what is imported next to nothing is garbage, and to look for it again and again is a sixth of the start.
    gc.disable()

    listening = socket.create_server(("127.0.0.1", 0))
    app = "prefect.server.api.server:create_app"
    server = uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on"))

    def report() -> None:
        while not server.started:
            time.sleep(0.05)
        gc.freeze()
        gc.enable()
        with (
            closing(sqlite3.connect(folder / "prefect.db")) as made,
            closing(sqlite3.connect(folder / "empty.db")) as to,
        ):
            made.backup(to)
        (folder / "address.new").write_text(f"http://127.0.0.1:{listening.getsockname()[1]}/api")
        (folder / "address.new").rename(folder / "address")

    threading.Thread(target=report, daemon=True).start()
    server.run(sockets=[listening])


def end_with_users(folder: Path) -> None:
    """Waits until nobody holds a lock, and keeps those who come later from an address that is gone."""
    with (folder / "users").open("rb") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        (folder / "address").unlink(missing_ok=True)
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
