"""Processes of a script that are forked from one that has imported it: to import the store takes most of their time.

``Forks`` is for tests. Run as a program, this is the process that forks: it imports the script, and then reads requests
from a socket, each a line of JSON. A process starts as if the script were run with its arguments.
"""

import atexit
import importlib
import importlib.util
import json
import os
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
        ends = [os.pipe(), os.pipe()]
        self.stdout, self.stderr = (os.fdopen(read, encoding="utf-8") for read, _ in ends)
        request = {"start": [*map(str, arguments)], "environment": dict(os.environ), "folder": os.getcwd()}
        self.pid = forks.ask(request, [write for _, write in ends])
        for _, write in ends:
            os.close(write)

    def poll(self):
        """The exit code, as of ``subprocess.Popen``; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(_LOOK_SECONDS)
        return self.returncode

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
            self.stdout.close()
            self.stderr.close()
            self._said = said["stdout"], said["stderr"]
        return self._said


class Forks:
    """Starts processes of a script, until ``close``."""

    def __init__(self, script):
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        command = [sys.executable, "-W", "error", __file__, str(script), str(other.fileno())]
        # A thread that a library starts when it is imported would not be in a fork.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, pass_fds=[other.fileno()], env=environment)
        other.close()

    def start(self, *arguments):
        return Fork(self, arguments)

    def ask(self, request, descriptors=()):
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)
            answer = self._channel.recv(_MOST_BYTES)
        assert answer, f"the process that forks ended with {self._process.wait()}"
        return json.loads(answer)

    def close(self):
        self._channel.close()
        self._process.wait()


def _import(script):
    spec = importlib.util.spec_from_file_location(Path(script).stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # What the store imports when it needs it.
    for needed in ("pyarrow.compute", "pyarrow.parquet", "zarr.codecs", "zarr.storage"):
        importlib.import_module(needed)
    return module


def _ended(process_id):
    found, status = os.waitpid(process_id, os.WNOHANG)
    return None if found == 0 else os.waitstatus_to_exitcode(status)


def _run(module):
    """Does the work of a process, and ends it; what libraries of C do at the end of theirs is not for a fork."""
    code = 1
    try:
        module.main()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve(script, channel):
    """Forks until the tests have closed their end."""
    module = _import(script)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MOST_BYTES, 2)
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
            for descriptor, number in zip(descriptors, (1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.argv = [script, *request["start"]]
            _run(module)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(json.dumps(child).encode())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as tests:
        serve(sys.argv[1], tests)
