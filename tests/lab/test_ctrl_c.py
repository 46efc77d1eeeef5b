"""Ctrl-C, where RDKit is used in several threads."""

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, threading, time
from contextlib import nullcontext
from rdkit import Chem
from molbuffer.lab.ctrl_c import LOOK_SECONDS, kept_ctrl_c

ring, molecule = Chem.MolFromSmarts("c1ccccc1"), Chem.MolFromSmiles("c1ccccc1CCCCCCc1ccccc1CCCCc1ccccc1")

def match():
    for _ in range(3000):
        molecule.GetSubstructMatches(ring)

def in_threads():
    threads = [threading.Thread(target=match) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def reaches_python():
    try:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
    except KeyboardInterrupt:
        return True
    return False

def soon():
    # The looks may come late on a busy machine.
    last = time.monotonic() + 300
    while not (reached := reaches_python()) and time.monotonic() < last:
        time.sleep(LOOK_SECONDS)
    return reached

"""


def told(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM + program], text=True, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def swallowed() -> bool:
    """Whether RDKit swallows Ctrl-C here after several threads, as the release does that we test with."""
    return "False" in told("for _ in range(10): in_threads(); print(reaches_python())")


def test_it_reaches_python_within_a_block_and_after_it(swallowed: bool) -> None:
    if not swallowed:
        pytest.skip("pip install rdkit==2026.9.1: this RDKit leaves the handler of Python where it is")
    assert (
        told(
            """
with kept_ctrl_c():
    for _ in range(5):
        in_threads()
        print(soon())
    in_threads()
print(reaches_python())
"""
        ).split()
        == ["True"] * 6
    )


def test_a_handler_that_was_left_is_put_away(swallowed: bool) -> None:
    if not swallowed:
        pytest.skip("pip install rdkit==2026.9.1: this RDKit leaves the handler of Python where it is")
    assert (
        told(
            """
while reaches_python():
    in_threads()
with kept_ctrl_c():
    print(reaches_python())
"""
        )
        == "True"
    )


def test_what_the_caller_has_made_of_it_stays() -> None:
    assert (
        told(
            """
signal.signal(signal.SIGINT, signal.SIG_IGN)
with kept_ctrl_c():
    in_threads()
    time.sleep(3 * LOOK_SECONDS)
    signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda *_: print("mine"))
    time.sleep(3 * LOOK_SECONDS)
    in_threads()
    time.sleep(3 * LOOK_SECONDS)
    signal.raise_signal(signal.SIGINT)
"""
        )
        == "mine"
    )
