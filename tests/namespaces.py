"""Hosts that tests make of network namespaces: each has an address of its own, and can be cut off from the others.

This machine is one of them, at ``Hosts.here``, where servers listen. It needs root and ``ip`` of iproute2.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Hosts:
    """A bridge with a cable to each of some hosts.

    Attributes:
        here: the address of this machine.
        names: the names of the hosts.
    """

    def __init__(self, number: int) -> None:
        # A network for each process that tests; a name of an interface has at most 15 characters.
        self._id = f"{os.getpid():x}"
        self._net = f"10.{200 + os.getpid() // 256 % 50}.{os.getpid() % 256}"
        self._bridge = f"mb{self._id}"
        self.here = f"{self._net}.1"
        self.names = [f"mb{self._id}-{at}" for at in range(number)]

    def start(self) -> None:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.here}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for at, name in enumerate(self.names):
            cable = self._cable(name)
            _ip("netns", "add", name)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", cable, "master", self._bridge, "up")
            for words in (
                ("address", "add", f"{self._net}.{at + 2}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-netns", name, *words)

    def stop(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        subprocess.run(["ip", "link", "delete", self._bridge], capture_output=True)

    def words(self, name: str, *command: object) -> list[str]:
        """The words that run a command on a host."""
        return ["ip", "netns", "exec", name, *map(str, command)]

    def cut(self, name: str) -> None:
        """Pull the cable of a host."""
        _ip("link", "set", self._cable(name), "down")

    def join(self, name: str) -> None:
        """Put it back."""
        _ip("link", "set", self._cable(name), "up")

    def _cable(self, name: str) -> str:
        return f"c{name.removeprefix('mb')}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def hosts(number: int) -> Iterator[Hosts]:
    """Some hosts; what needs them is skipped where this process may make none."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces cannot be made: apt-get install iproute2")
    made = Hosts(number)
    try:
        try:
            made.start()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made, which root may: {error.stderr.decode().strip()}")
        yield made
    finally:
        made.stop()
