"""Processes of scripts that are forked from one that has imported the store: that takes most of their time.

``Forks`` is for tests. Run as a program, this is the process that forks: it imports the store, and then reads requests
from a socket, each a line of JSON. A process starts as if a script were run with its arguments.
"""

import atexit
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

_MOST_BYTES = 2**20
_LOOK_SECONDS = 0.005


class Fork:
    """A process as ``subprocess.Popen`` has it, whose parent is the process that forks."""

    def __init__(self, forks, arguments):
        self.args, self.returncode, self._forks, self._said = arguments, None, forks, None
        given, to_it = os.pipe()
        ends = [os.pipe(), os.pipe()]
        self.stdin = os.fdopen(to_it, "w", encoding="utf-8", buffering=1)
        self.stdout, self.stderr = (os.fdopen(read, encoding="utf-8") for read, _ in ends)
        request = {"start": [*map(str, arguments)], "environment": dict(os.environ), "folder": os.getcwd()}
        theirs = [given, *(write for _, write in ends)]
        self.pid = forks.ask(request, theirs)
        for end in theirs:
            os.close(end)

    def poll(self):
        """The exit code, as of ``subprocess.Popen``; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        self._until_it_ends(timeout)
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(_LOOK_SECONDS)
        return self.returncode

    def _until_it_ends(self, timeout):
        """Waits without looking again and again, where the system can; its number is its own until it is asked for."""
        if self.poll() is not None or not hasattr(os, "pidfd_open"):
            return
        process = os.pidfd_open(self.pid)
        try:
            ended = select.poll()
            ended.register(process, select.POLLIN)
            ended.poll(None if timeout is None else 1000 * timeout)
        finally:
            os.close(process)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """What was not read of its output and of its errors, once it has ended."""
        if self._said is None:
            said = {}
            readers = [
                threading.Thread(target=lambda name=name: said.update({name: getattr(self, name).read()}), daemon=True)
                for name in ("stdout", "stderr")
            ]
            for reader in readers:
                reader.start()
            self.wait(timeout)
            for reader in readers:
                reader.join()
            for pipe in (self.stdin, self.stdout, self.stderr):
                pipe.close()
            self._said = said["stdout"], said["stderr"]
        return self._said


class Forks:
    """Starts processes of scripts, until ``close``.

    Args:
        scripts: those whose modules are imported beforehand.
    """

    def __init__(self, *scripts):
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        command = [sys.executable, "-W", "error", __file__, str(other.fileno()), *map(str, scripts)]
        # A thread that a library starts when it is imported would not be in a fork.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, pass_fds=[other.fileno()], env=environment)
        other.close()

    def start(self, script, *arguments):
        """Start a process that runs ``main`` of a script with its arguments."""
        return Fork(self, [str(script), *map(str, arguments)])

    def ask(self, request, descriptors=()):
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)
            answer = self._channel.recv(_MOST_BYTES)
        assert answer, f"the process that forks ended with {self._process.wait()}"
        return json.loads(answer)

    def close(self):
        self._channel.close()
        self._process.wait()


PARTS = ("archive", "commits", "history", "maintenance", "query", "segments", "verify")


def _import_store():
    """Import the store, and what it imports when it needs it."""
    from molbuffer.storage import SampleStore

    assert SampleStore
    for part in PARTS:
        room = importlib.import_module(f"molbuffer.storage.{part}")
        for name in room.__all__:
            getattr(room, name)
    # DuckDB imports pandas, where it is there, and the data sets of Arrow with its first statements.
    for needed in ("pandas", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "zarr.codecs", "zarr.storage"):
        importlib.import_module(needed)


def _import(script):
    spec = importlib.util.spec_from_file_location(Path(script).stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _ended(process_id):
    found, status = os.waitpid(process_id, os.WNOHANG)
    return None if found == 0 else os.waitstatus_to_exitcode(status)


def _run(script):
    """Does the work of a process, and ends it; what libraries of C do at the end of theirs is not for a fork."""
    code = 1
    try:
        _import(script).main()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve(channel, scripts):
    """Forks until the tests have closed their end."""
    _import_store()
    for script in scripts:
        _import(script)
    # Otherwise the garbage collector of each fork goes over all modules, and copies them.
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MOST_BYTES, 3)
        if not message:
            return
        request = json.loads(message)
        if "ended" in request:
            channel.send(json.dumps(_ended(request["ended"])).encode())
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            channel.close()
            for descriptor, number in zip(descriptors, (0, 1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.argv = request["start"]
            _run(sys.argv[0])
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(json.dumps(child).encode())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as tests:
        serve(tests, sys.argv[2:])
