"""Signals that end a command: Ctrl-C, SIGTERM, and the end of its terminal.

The first one raises ``Interrupted`` in the main thread; the run is recorded as ``interrupted`` on the way out, and the
command says in one message which run that is and how to go on. Further ones are ignored: the end is on its way, and
comes within ``SECONDS_TO_END`` also where a call of a scorer goes on, where a thread waits for one, or where the main
thread is in a library that returns late. The process then ends without waiting for any of them; the store bears that
at every moment. Only code that holds Python's lock without end can delay it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from molbuffer.flows.cli.common.notes import note

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_TO_END = 8.0
"""The time between the first signal and the end of the process in which the work may unwind."""
SECONDS_TO_RECORD = 5.0
"""The time for the record and the message where the work has not unwound by then."""


class Interrupted(KeyboardInterrupt):
    """A signal ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Ending:
    """The end of this process by a signal.

    Attributes:
        number: the signal that ends the command; None before one arrived.
        say: says which run is interrupted and how to go on; what a command without runs says by default.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.say: Callable[[], None] = say_nothing_ran
        self._raised = False
        self._said = False
        self._saying = threading.Lock()

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """Raise ``Interrupted``, for the first signal; Prefect handles SIGTERM first, and then sends it here."""
        if not self._raised and self.number in (None, number):
            self.number, self._raised = number, True
            raise Interrupted(number)

    def say_once(self) -> None:
        """Write the message, unless it is written already; wait for a thread that writes it."""
        with self._saying:
            if not self._said:
                self._said = True
                self.say()

    def watch(self) -> None:
        """Install the handlers and the thread that ends the process when the main thread does not."""
        arrived, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        threading.Thread(target=self._end_late, args=(arrived,), name="interruptions", daemon=True).start()
        for number in SIGNALS:
            # A shell that starts a command in the background, or nohup, has said that it shall not end.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.receive)

    def _end_late(self, arrived: int) -> None:
        """Wait for a signal, and then for the main thread to end the process; end it when that takes too long."""
        # The byte comes when the signal does, also while the main thread is in a library and runs no handler.
        while (number := os.read(arrived, 1)[0]) not in SIGNALS:
            pass
        self.number = self.number or number
        threading.Event().wait(SECONDS_TO_END)
        saying = threading.Thread(target=self.say_once, daemon=True)
        saying.start()
        saying.join(SECONDS_TO_RECORD)
        self.end()

    def end(self) -> None:
        """End this process without waiting for threads or atexit."""
        assert self.number is not None
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(exit_code(self.number))


@contextmanager
def ends_on_signals() -> Iterator[None]:
    """Let signals end the command of this process as this module says; for the main thread, once."""
    ending = Ending()
    ending.watch()
    try:
        yield
    except BaseException as error:
        # One that arrived before any command began, while modules were imported.
        if report_interruption(error) is None:
            raise
    finally:
        if ending.number is not None:
            ending.end()


def signal_of(error: BaseException) -> int | None:
    """Return the signal that an error came from; None if it came from none.

    Some libraries raise an error of their own when a handler of a signal has raised one in them.
    """
    prefect = sys.modules.get("prefect.exceptions")
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, Interrupted):
            return cause.number
        if isinstance(cause, KeyboardInterrupt):
            return signal.SIGINT
        if prefect is not None and isinstance(cause, prefect.TerminationSignal):
            return int(cause.signal)
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def exit_code(number: int) -> int:
    """Return the exit code of a command that a signal ended, as shells have it."""
    return 128 + number


def report_interruption(error: BaseException) -> int | None:
    """Write the message about an error that came from a signal; return its exit code, or None for another error."""
    number = signal_of(error)
    if number is None:
        return None
    ending = current_ending()
    ending.number = ending.number or number
    # The terminal may be gone.
    with contextlib.suppress(OSError):
        ending.say_once()
    return exit_code(number)


def current_ending() -> Ending:
    """Return what handles the signals of this process: nothing of ours where a program called the command."""
    owners = (getattr(signal.getsignal(number), "__self__", None) for number in SIGNALS)
    return next((owner for owner in owners if isinstance(owner, Ending)), None) or Ending()


def say_nothing_ran() -> None:
    """Say what is said of a command without a run."""
    note("interrupted")
