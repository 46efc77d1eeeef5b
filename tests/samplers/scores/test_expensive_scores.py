"""R1: scores of high cost, with processes that are in a hurry, slow, or killed."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from molbuffer.samplers.scores.expensive import ClaimAhead
from molbuffer.samplers.scores.scorer import ClaimTiming, Scorer
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import PythonFunction
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import StoreError

SOURCE = """
import time
from pathlib import Path

def dock(smiles, folder=""):
    with open(Path(folder, "calls.log"), "a") as log:
        log.write(smiles + chr(10))
    while Path(folder, f"hang-{smiles}").exists():
        time.sleep(0.05)
    return len(smiles) / 10
"""
SCORER_PROCESS = """
import sys
from molbuffer.samplers.scores.scorer import ClaimTiming, Scorer
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import PythonFunction
from molbuffer.storage import SampleStore

store, function, folder, claim_seconds, *smiles = sys.argv[1:]
component = PythonFunction(function, cost="high", parameters={"folder": folder}, name="dock")
pace = ClaimTiming(float(claim_seconds), float(claim_seconds) / 4)
with SampleStore.open(store) as opened:
    scored = Scorer(Objective((WeightedComponent(component),)), opened, pace=pace).score(smiles)
    print(*scored.rewards.tolist())
"""
QUICK = ClaimTiming(claim_seconds=6.0, renewal_seconds=0.5, poll_seconds=0.1)
PATIENCE_SECONDS = 600


def eventually(what: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


class Dock:
    """An expensive component, that hangs on request, and whose calls are counted across processes."""

    def __init__(self, folder: Path, module: str) -> None:
        self.folder, self.function = folder, f"{module}:dock"
        parameters = {"folder": str(folder)}
        self.component = PythonFunction(self.function, cost="high", parameters=parameters, name="dock")
        self.objective = Objective((WeightedComponent(self.component),))
        (folder / "calls.log").touch()

    def hang(self, smiles: str) -> Path:
        """While this file is there, scoring the molecule takes."""
        return self.folder / f"hang-{smiles}"

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls.log").read_text().split()

    def known(self, store: SampleStore, smiles: str) -> bool:
        return smiles in store.find_scores("dock", self.component.version, [smiles])

    def in_process(self, store: SampleStore, claim_seconds: float, *smiles: str) -> subprocess.Popen[str]:
        """A process that scores molecules."""
        arguments = [str(store.path), self.function, str(self.folder), str(claim_seconds), *smiles]
        code = f"import sys; sys.path.insert(0, {str(self.folder / 'scorers')!r})\n{SCORER_PROCESS}"
        return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def dock(tmp_path: Path, write_scorer: Callable[[str], str]) -> Dock:
    return Dock(tmp_path, write_scorer(SOURCE))


def test_each_score_is_in_the_store_while_the_next_is_computed(store: SampleStore, dock: Dock) -> None:
    dock.hang("CC").touch()
    scorer = threading.Thread(target=Scorer(dock.objective, store).score, args=(["C", "CC"],))
    scorer.start()
    eventually(lambda: dock.calls == ["C", "CC"])
    eventually(lambda: dock.known(store, "C"))
    assert not dock.known(store, "CC")
    assert scorer.is_alive()
    dock.hang("CC").unlink()
    scorer.join(PATIENCE_SECONDS)
    assert dock.known(store, "CC")


def test_two_processes_compute_a_molecule_once(store: SampleStore, dock: Dock) -> None:
    for smiles in ("C", "CCC"):
        dock.hang(smiles).touch()
    processes = [dock.in_process(store, PATIENCE_SECONDS, *order) for order in (("C", "CC", "CCC"), ("CCC", "CC", "C"))]
    eventually(lambda: sorted(dock.calls) == ["C", "CCC"])  # both are at it
    for smiles in ("C", "CCC"):
        dock.hang(smiles).unlink()
    output = [process.communicate(timeout=600)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(dock.calls) == ["C", "CC", "CCC"]
    assert output == [["0.1", "0.2", "0.3"], ["0.3", "0.2", "0.1"]]


def test_a_long_call_keeps_its_claim_and_a_killed_scorer_loses_it(store: SampleStore, dock: Dock) -> None:
    dock.hang("C").touch()
    process = dock.in_process(store, QUICK.claim_seconds, "C")
    eventually(lambda: dock.calls == ["C"])
    found: list[float] = []
    waiting = threading.Thread(
        target=lambda: found.extend(Scorer(dock.objective, store, pace=QUICK).score(["C"]).rewards)
    )
    waiting.start()
    time.sleep(1.5 * QUICK.claim_seconds)
    assert dock.calls == ["C"], "a scorer that is alive renews its claim"
    process.kill()
    process.communicate()
    dock.hang("C").unlink()
    waiting.join(PATIENCE_SECONDS)
    assert found == [0.1]
    assert dock.calls == ["C", "C"]


def test_nobody_waits_for_the_claims_of_a_process_that_was_killed(store: SampleStore, dock: Dock) -> None:
    dock.hang("C").touch()
    process = dock.in_process(store, 120, "C")
    eventually(lambda: dock.calls == ["C"])
    process.kill()
    process.communicate()
    dock.hang("C").unlink()
    began = time.monotonic()
    assert Scorer(dock.objective, store, pace=QUICK).score(["C"]).rewards.tolist() == [0.1]
    assert dock.calls == ["C", "C"] and time.monotonic() - began < 100, "its claim is for two minutes"


def test_a_store_that_cannot_be_written_ends_the_scoring(store: SampleStore, dock: Dock) -> None:
    with SampleStore.open(store.path, read_only=True) as read_only, pytest.raises(StoreError):
        Scorer(dock.objective, read_only, pace=QUICK).score(["C", "CC"])


@pytest.mark.parametrize("renewal_seconds", [0.0, 31.0, 100.0])
def test_a_pace_at_which_claims_would_expire_is_refused(renewal_seconds: float) -> None:
    with pytest.raises(ValueError, match="at most half of claim_seconds"):
        ClaimTiming(claim_seconds=60, renewal_seconds=renewal_seconds)


def test_a_scorer_that_hands_over_commits_nothing(store: SampleStore, dock: Dock) -> None:
    scored = Scorer(dock.objective, store, hands_over=True).score(["C", "CC"])
    assert (scored.rewards.tolist(), scored.new) == ([0.1, 0.2], [])
    assert store.read_arrow("SELECT * FROM {scores}").num_rows == 0
    with SampleStore.open(store.path) as other:
        assert Scorer(dock.objective, other).score(["CC", "C"]).rewards.tolist() == [0.2, 0.1]
    assert dock.calls == ["C", "CC"]


def test_of_quick_calls_those_of_two_seconds_are_claimed_at_once_and_of_others_one() -> None:
    ahead = ClaimAhead(together=1, most=512, seconds=2.0)
    claimed = [ahead.number]
    for seconds in (0.05, 0.4, 2.0, 40.0, 60.0):
        ahead.took(claimed[-1], seconds)
        claimed.append(ahead.number)
    assert claimed == [1, 8, 40, 40, 2, 1]
    of_batches = ClaimAhead(together=32, most=512, seconds=2.0)
    of_batches.took(32, 0.64)
    assert of_batches.number == 96, "whole calls"


def test_what_others_compute_is_read_and_what_they_leave_is_computed_here(store: SampleStore, dock: Dock) -> None:
    asked: list[tuple[list[str], list[str]]] = []

    def elsewhere(components: Sequence[str], smiles: Sequence[str]) -> None:
        asked.append((list(components), list(smiles)))
        Scorer(dock.objective, store).score([text for text in smiles if text != "CCC"])

    Scorer(dock.objective, store).score(["C"])
    scored = Scorer(dock.objective, store, elsewhere=elsewhere).score(["C", "CC", "CCC"])
    assert asked == [(["dock"], ["CC", "CCC"])], "what is known is not asked for"
    assert scored.rewards.tolist() == [0.1, 0.2, 0.3]
    assert (scored.computed, scored.new) == (2, [])
    assert dock.calls == ["C", "CC", "CCC"]
