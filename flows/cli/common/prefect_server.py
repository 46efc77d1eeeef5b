"""The Prefect server of one command, for users without one: its start and its end.

Prefect would start one by itself, in the process group of the command: Ctrl-C then ends the server first, and Prefect
spends a minute on reaching it; and one whose command was killed would stay for ever. This one is in a session of its
own, and ends with the command however that ends (``server_process``).
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
        url: the address that Prefect's settings name, or of a server that was started here.
    """

    def __init__(self, timeout_seconds: float, *, pages: bool = False) -> None:
        """Start the process, and wait until it has said which server is used.

        Args:
            timeout_seconds: how long the server may take to start.
            pages: whether it has pages, a schedule and automations, too.

        Raises:
            PrefectServerError: it did not start.
        """
        # -P keeps the folder of the program off the import path, where files of ours would hide libraries.
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
                    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS gives it more"
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
        """End the server, if it was started here."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
