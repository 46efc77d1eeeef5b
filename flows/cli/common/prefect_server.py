"""Start and stop a Prefect server for one command, if none is configured.

A server that Prefect starts by itself is in the process group of the command: Ctrl-C ends the server first, after
which Prefect tries to reach it for a minute; and if the command is killed, that server never ends. The server of this
module has a session of its own, and ends with the command in any case (``server_process``).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

SECONDS_TO_END = 10.0
LOOK_SECONDS = 1.0
SHOWN_LINES = 3


class PrefectServerError(Exception):
    """The Prefect server cannot be started or reached."""


class CommandServer:
    """A Prefect server for the flows of this process.

    Attributes:
        url: the address of the server that Prefect's settings name, or of the one that was started here.
    """

    def __init__(self, timeout_seconds: float, *, pages: bool = False) -> None:
        """Start the process, and wait until it has printed the address of the server.

        Args:
            timeout_seconds: the longest time that the server may take to start.
            pages: whether the server also has pages, a scheduler and automations.

        Raises:
            PrefectServerError: the server did not start.
        """
        # -P keeps the folder of the program off the import path, since its files would hide libraries.
        program = Path(__file__).with_name("server_process.py")
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(program), str(os.getpid()), *(["pages"] if pages else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                self.url = self._first_word(timeout_seconds, errors)
            except BaseException:
                self._process.kill()
                self.stop()
                raise

    def _first_word(self, timeout_seconds: float, errors: IO[bytes]) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_seconds
        while not select.select([self._process.stdout], [], [], LOOK_SECONDS)[0]:
            if time.monotonic() > deadline:
                raise PrefectServerError(
                    f"Prefect's server did not start in {timeout_seconds:g} s; "
                    "set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS to give it more time"
                )
        line = self._process.stdout.readline()
        if not line:
            raise PrefectServerError(f"Prefect's server did not start: {self._last_errors(errors)}")
        said = json.loads(line)
        if "error" in said:
            raise PrefectServerError(said["error"])
        return str(said["url"])

    def _last_errors(self, errors: IO[bytes]) -> str:
        """Return the last lines that the process wrote to standard error."""
        self._process.wait()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-SHOWN_LINES:]) if lines else f"exit code {self._process.returncode}"

    def stop(self) -> None:
        """End the server if it was started here."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
