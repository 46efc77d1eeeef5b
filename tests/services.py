"""Servers that tests start on free ports of the loopback interface and stop by their process id.

A server that is not installed skips the tests that need it, with the command that installs it.
"""

import fcntl
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

_START_SECONDS = 600
_MOST_ATTEMPTS = 20
_DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
S3_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "never-shown", "AWS_REGION": "us-east-1"}


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as listener:
        listener.bind((host, 0))
        return listener.getsockname()[1]


class PostgresServer:
    """A Postgres server in a folder of its own, which can crash and be started again.

    Attributes:
        address: its address, without a database.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self._programs, self._folder, self._host = _postgres_programs(), folder, host
        self._user, self._data, self._port = _postgres_user(folder), folder / "data", free_port(host)
        self._server: subprocess.Popen[bytes] | None = None
        self.address = f"postgresql://postgres@{host}:{self._port}"
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        subprocess.run(
            [*self._user, self._programs / "initdb", "-D", self._data, *options], check=True, capture_output=True
        )
        with (self._data / "pg_hba.conf").open("a") as allowed:
            allowed.write(f"host all all {host}/24 trust\n")

    def start(self) -> None:
        """Return when it answers; after a crash it has first replayed its log."""
        options = ["-D", self._data, "-h", self._host, "-p", str(self._port), "-k", self._folder]
        with (self._folder / "log").open("a") as log:
            self._server = subprocess.Popen(
                [*self._user, self._programs / "postgres", *options], stdout=log, stderr=log
            )
        ready = [self._programs / "pg_isready", "-h", self._host, "-p", str(self._port), "-U", "postgres"]
        _wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, self._server)

    def stop(self) -> None:
        """End it in good order; what its clients are at is rolled back."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it at once, as ``pg_ctl stop -m immediate`` does: nothing is written any more, and connections break."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None and self._server.poll() is None:
            # The first line of postmaster.pid is the server's own process id, whatever started it.
            os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), how)
            self._server.wait(_START_SECONDS)


@contextmanager
def postgres_that_crashes(host: str = "127.0.0.1") -> Iterator[PostgresServer]:
    """A Postgres server of its own, at an address of this machine, to crash and to start."""
    # Not in pytest's folder, which root keeps to itself.
    folder = Path(tempfile.mkdtemp(prefix="molbuffer-postgres-"))
    try:
        server = PostgresServer(folder, host)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def postgres(host: str = "127.0.0.1") -> Iterator[str]:
    """A Postgres server of its own, at an address of this machine; gives the address of it, without a database."""
    with postgres_that_crashes(host) as server:
        yield server.address


class LossyPath:
    """A way to a Postgres server on which the answer of a COMMIT can be lost, with the connection.

    Attributes:
        address: of the server by this way, without a database.
        lost: how many answers were lost.
    """

    def __init__(self, server: str) -> None:
        self._server = ("127.0.0.1", int(server.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"postgresql://postgres@127.0.0.1:{self._listener.getsockname()[1]}"
        self.lost = 0
        self._losing = self._broken = False
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next_answer(self) -> None:
        """Break the path after the next COMMIT of a snapshot is done, and let nobody through until it is mended."""
        self._losing = True

    def mend(self) -> None:
        self._broken = False

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                if self._broken:
                    client.close()
                else:
                    threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, suppress(OSError):
            adds_snapshot = last = False
            while True:
                for source in select.select([client, server], [], [])[0]:
                    if not (data := source.recv(1 << 20)):
                        return
                    if source is client:
                        adds_snapshot = b"BEGIN" not in data[:10] and (
                            adds_snapshot or (b"INSERT INTO" in data and b"ducklake_snapshot" in data)
                        )
                        last = self._losing and adds_snapshot and data[5:11] == b"COMMIT"
                        server.sendall(data)
                    elif last:
                        self._losing, self._broken = False, True
                        self.lost += 1
                        return
                    else:
                        client.sendall(data)


@contextmanager
def lossy_path(server: str) -> Iterator[LossyPath]:
    path = LossyPath(server)
    try:
        yield path
    finally:
        path.close()


def attempt(work: Callable[[], Any]) -> Any:
    """What a caller does who waits for a server: DuckDB's connections to it each tell of their end once."""
    from molbuffer.storage.errors import CatalogUnavailableError

    for _ in range(_MOST_ATTEMPTS):
        try:
            return work()
        except CatalogUnavailableError:
            pass
    return work()


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else sorted(_DEBIAN_POSTGRES.glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "postgres").exists():
            return folder
    pytest.skip("Postgres is not installed: apt-get install postgresql")


def _postgres_user(folder: Path) -> list[str]:
    """What runs a program as somebody else: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres")
    return ["runuser", "-u", "postgres", "--"]


@contextmanager
def s3(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """A server of the S3 protocol (moto) with an empty bucket ``lab``, on an address of this machine; gives its own."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is not installed: pip install 'moto[server]'")
    folder.mkdir(parents=True)
    port = free_port(host)
    address = f"http://{host}:{port}"
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-P", str(Path(__file__).with_name("s3_process.py")), host, str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | S3_ENVIRONMENT)
    try:
        _wait_until(lambda: _listens(host, port), server)
        make_bucket(address, "lab")
        yield address
    finally:
        server.terminate()
        server.wait(_START_SECONDS)


def prefect(folder: Path) -> str:
    """The address of the Prefect server of the processes that name this folder.

    The first of them starts it, and it ends with the last one (``prefect_process.py``): what Prefect sends at the exit
    of a process still finds it.
    """
    folder.mkdir(exist_ok=True)
    # Never closed: the system does that when the process ends.
    fcntl.flock(os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)
    with (folder / "start").open("ab") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not (folder / "address").exists():
            _start_prefect(folder)
        return (folder / "address").read_text()


def _start_prefect(folder: Path) -> None:
    """A process that outlives this one: subprocess would have its end waited for."""
    program, log = str(Path(__file__).with_name("prefect_process.py")), folder / "log"
    command, append = [sys.executable, "-P", program, str(folder)], os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [(os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    # A group of its own: Ctrl-C is for the tests.
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions, setpgroup=0)
    end = time.monotonic() + _START_SECONDS
    while not (folder / "address").exists():
        assert os.waitpid(process, os.WNOHANG)[0] == 0, f"Prefect's server did not start:\n{log.read_text()}"
        assert time.monotonic() < end, f"{command} did not start"
        time.sleep(0.05)


def make_bucket(address: str, name: str) -> None:
    from http.client import HTTPConnection

    connection = HTTPConnection(address.removeprefix("http://"))
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()


def _listens(host: str, port: int) -> bool:
    with closing(socket.socket()) as connection:
        return connection.connect_ex((host, port)) == 0


def _wait_until(ready, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not ready():
        assert server.poll() is None, f"{server.args} ended with {server.returncode}"
        assert time.monotonic() < end, f"{server.args} did not start"
        time.sleep(0.05)


@contextmanager
def process_group(*command: str | Path, log: Path, **how) -> Iterator[None]:
    """A process in a group of its own, all of which is ended with the block; what it prints is added to a log."""
    with log.open("ab") as output:
        started = subprocess.Popen([*command], stdout=output, stderr=output, start_new_session=True, **how)
    try:
        yield
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
