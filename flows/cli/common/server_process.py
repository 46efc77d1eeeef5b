"""The program of the Prefect server of one command; ``prefect_server`` starts it, and nothing imports it.

It prints one line of JSON, ``{"url": …}``: the address that Prefect's own settings name, after which it ends, or that
of the server that it is. The server ends when the process that started it does, however that ended: its standard input
is a pipe from there, and its parent's id changes. A program that the parent forked may hold the other end of the pipe,
so neither alone is enough.

Arguments: the id of the process that started it, and ``pages`` for a server that also has the pages, a schedule and
automations, as one for the nights must.
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
"""The time that the server has for its last requests."""
LOOK_SECONDS = 1.0
"""The time between looks at the parent's id."""


PORT = 4200
"""The port of the pages, where it is free."""


def main(parent: int, *, pages: bool = False) -> None:
    """Print the address of the server to use, and serve if it is this process."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # Standard output is for the address alone.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ["PREFECT__SERVER_FINAL"] = "1"
    if not pages:
        # Nobody looks at the pages of this server, and its name for such a server is Prefect's own.
        os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    # An empty address is that of no server, as for Prefect's client.
    if settings.api.url:
        _say(results, url=settings.api.url)
    elif not settings.server.ephemeral.enabled:
        _say(results, error="PREFECT_API_URL is not set, and PREFECT_SERVER_EPHEMERAL_ENABLED is off")
    else:
        _serve(results, Path(settings.home), _listening(PORT if pages else 0))


def _listening(port: int) -> socket.socket:
    """Return a socket of a port, or of one that is free: the system gives servers that start at one moment others."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _serve(results: TextIO, home: Path, listening: socket.socket) -> None:
    import uvicorn

    # Of what is imported next to nothing is garbage, and to look for it again and again is a sixth of the start.
    gc.disable()

    url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
    # What the pages ask for in the browser.
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
    """Hold a lock until what is given is called: servers that start together would make the tables of one database
    at once, and fail.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "molbuffer-server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _end_with(parent: int) -> None:
    """End this process soon after the one that started it, or when that closes the pipe."""
    while os.getppid() == parent and not select.select([0], [], [], LOOK_SECONDS)[0]:
        pass
    # The server finishes its requests; before there is one, the process ends.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), pages="pages" in sys.argv[2:])
