"""Signals that end a command: Ctrl-C, SIGTERM, and the end of its terminal.

The first signal raises ``Interrupted`` in the main thread; the run is then recorded as ``interrupted``, and one message
of the command names the run and says how to resume it. Further signals are ignored. If the work has not ended
``SECONDS_TO_END`` after the signal, since a call of a scorer goes on, a thread waits for one, or the main thread is in
a library that returns late, the process ends without waiting; the store stays consistent at any such moment. Only code
that never releases Python's global lock can delay the end further.
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
"""The time that the work has to end after the first signal, before the process ends without it."""
SECONDS_TO_RECORD = 5.0
"""The time for the record and the message if the work has not ended by then."""


class Interrupted(KeyboardInterrupt):
    """An error that a signal raises in the main thread, to end the command."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Ending:
    """The end of this process by a signal.

    Attributes:
        number: the signal that ends the command; None before one has arrived.
        say: writes which run is interrupted and how to resume it; by default, the message of a command without a run.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.say: Callable[[], None] = say_nothing_ran
        self._raised = False
        self._said = False
        self._saying = threading.Lock()

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """Raise ``Interrupted`` for the first signal; Prefect handles SIGTERM first, and then calls this handler."""
        if not self._raised and self.number in (None, number):
            self.number, self._raised = number, True
            raise Interrupted(number)

    def say_once(self) -> None:
        """Write the message unless it has been written; wait if another thread is writing it."""
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
            # A shell that starts a command in the background, or nohup, has set the signal to be ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.receive)

    def _end_late(self, arrived: int) -> None:
        """Wait for a signal, and end the process if the main thread has not ended it ``SECONDS_TO_END`` later."""
        # The byte arrives with the signal, also while the main thread is in a library and runs no handler.
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
    """Install the signal handling of this module; to be called once, in the main thread."""
    ending = Ending()
    ending.watch()
    try:
        yield
    except BaseException as error:
        # The signal may have arrived before any command began, while modules were imported.
        if report_interruption(error) is None:
            raise
    finally:
        if ending.number is not None:
            ending.end()


def signal_of(error: BaseException) -> int | None:
    """Return the signal that caused an error; None if no signal did.

    Some libraries raise an error of their own when a signal handler has raised one inside them, so the chain of causes
    is searched.
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
    """Return the exit code of a command that a signal ended, by the convention of shells: 128 + the signal."""
    return 128 + number


def report_interruption(error: BaseException) -> int | None:
    """Write the message about an error that a signal caused; return the exit code, or None for any other error."""
    number = signal_of(error)
    if number is None:
        return None
    ending = current_ending()
    ending.number = ending.number or number
    # The terminal may be closed.
    with contextlib.suppress(OSError):
        ending.say_once()
    return exit_code(number)


def current_ending() -> Ending:
    """Return the object that handles the signals of this process; a new, inactive one if another program called the
    command.
    """
    owners = (getattr(signal.getsignal(number), "__self__", None) for number in SIGNALS)
    return next((owner for owner in owners if isinstance(owner, Ending)), None) or Ending()


def say_nothing_ran() -> None:
    """Write the message of an interrupted command without a run."""
    note("interrupted")
