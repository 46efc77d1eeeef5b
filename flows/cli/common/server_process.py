"""The program of the Prefect server of one command; ``prefect_server`` starts it, and nothing imports it.

The program prints one line of JSON, ``{"url": …}``. If Prefect's settings name a server, that is its address, and the
program ends. Otherwise the program is the server, and the address is its own. The server ends when its parent process
ends, for whatever reason: its standard input, a pipe from the parent, is closed, or the id of its parent changes. A
program that the parent forked may hold the other end of the pipe, so the server checks both.

Arguments: the id of the parent process, and ``pages`` for a server that also has pages, a scheduler and automations,
which scheduled runs need.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

SECONDS_TO_END = 5.0
"""The time that the server has to finish its last requests."""
LOOK_SECONDS = 1.0
"""The time between two checks of the parent's id."""


PORT = 4200
"""The port of the pages, if it is free."""


def main(parent: int, *, pages: bool = False) -> None:
    """Print the address of the server to use, and serve if this process is the server."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # Standard output is for the address alone.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ["PREFECT__SERVER_FINAL"] = "1"
    if not pages:
        # Nobody reads the pages of this server; the second variable is Prefect's own mark of a temporary server.
        os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    # An empty address means no server, as in Prefect's client.
    if settings.api.url:
        _say(results, url=settings.api.url)
    elif not settings.server.ephemeral.enabled:
        _say(results, error="PREFECT_API_URL is not set, and PREFECT_SERVER_EPHEMERAL_ENABLED is off")
    else:
        _serve(results, Path(settings.home), _listening(PORT if pages else 0))


def _listening(port: int) -> socket.socket:
    """Return a socket on a port, or on any free one: the system gives different ports to servers that start at once."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _serve(results: TextIO, home: Path, listening: socket.socket) -> None:
    import uvicorn

    # Next to no imported object is garbage, and scanning them repeatedly takes a sixth of the start.
    gc.disable()

    url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
    # The address that the pages call from the browser.
    os.environ["PREFECT_UI_API_URL"] = url
    app = "prefect.server.api.server:create_app"
    server = uvicorn.Server(uvicorn.Config(app, factory=True, log_level="error", lifespan="on"))
    with _only_one_starts(home) as started:

        def report() -> None:
            while not server.started:
                time.sleep(0.05)
            gc.freeze()
            gc.enable()
            started()
            _say(results, url=url)

        threading.Thread(target=report, daemon=True).start()
        server.run(sockets=[listening])


def _say(results: TextIO, **said: str) -> None:
    print(json.dumps(said), file=results, flush=True)


@contextmanager
def _only_one_starts(home: Path) -> Iterator[Callable[[], None]]:
    """Hold a lock until the yielded function is called.

    Without the lock, servers that start together would create the tables of one database at the same time, and fail.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "molbuffer-server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _end_with(parent: int) -> None:
    """End this process soon after its parent has ended or has closed the pipe."""
    while os.getppid() == parent and not select.select([0], [], [], LOOK_SECONDS)[0]:
        pass
    # On SIGTERM the server finishes its requests; without a server yet, the signal ends the process.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), pages="pages" in sys.argv[2:])
