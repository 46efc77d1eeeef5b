"""The scorer: looks scores up in the store before it computes them, and stores failed ones, too.

Scores of cheap components are computed together and committed with the build. A molecule is claimed before an expensive
component (``cost = "high"``) scores it, so that two processes never pay for the same molecule. Each expensive score is
committed within a second of its arrival, whatever becomes of the build that asked for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring import Objective
from molbuffer.scoring.components import Component, RawScore, score_many
from molbuffer.storage import SampleStore, Score, ScoreStatus


@dataclass(frozen=True)
class ClaimTiming:
    """The intervals at which expensive scores are claimed, committed and looked up.

    Attributes:
        claim_seconds: the time a claim outlives its last renewal; a killed scorer blocks a molecule no longer than
            this.
        renewal_seconds: the time between renewals, at most half of claim_seconds, so that a renewal may be late.
        flush_seconds: scores that arrive within this time of each other share a commit.
        poll_seconds: the time between look-ups of molecules that other scorers have claimed.
    """

    claim_seconds: float = 60.0
    renewal_seconds: float = 15.0
    flush_seconds: float = 0.25
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.renewal_seconds <= self.claim_seconds / 2:
            raise ValueError(
                f"renewal_seconds must be positive and at most half of claim_seconds, got {self.renewal_seconds} "
                f"and {self.claim_seconds}"
            )


@dataclass(frozen=True)
class ScoredMolecules:
    """The scores of n distinct molecules.

    Attributes:
        smiles: the canonical SMILES [n].
        values: float64 [n] by component name, in the order of ``smiles``; NaN where the component failed.
        rewards: float64 [n], NaN where a component failed.
        new: the scores to commit with the build.
    """

    smiles: Sequence[str]
    values: Mapping[str, NDArray[np.float64]]
    rewards: NDArray[np.float64]
    new: Sequence[Score] = ()

    def reward_of(self) -> dict[str, float]:
        """Return the reward by SMILES: rows are joined by identity, never by position."""
        return dict(zip(self.smiles, self.rewards.tolist(), strict=True))


@dataclass(frozen=True)
class Scorer:
    """Scores molecules under an objective; the store is its memory.

    Attributes:
        objective: the components and their aggregation.
        store: holds known scores; None computes every score.
        run_id: the run that new expensive scores belong to.
        owner: the name in claims of expensive scores, unique to this scorer.
        pace: the intervals of claims and commits.
    """

    objective: Objective
    store: SampleStore | None = None
    run_id: str | None = None
    owner: str = field(default_factory=lambda: uuid4().hex)
    pace: ClaimTiming = ClaimTiming()

    def score(self, smiles: Sequence[str]) -> ScoredMolecules:
        """Return the scores and rewards of the distinct molecules among canonical ``smiles``, in order of first
        occurrence.
        """
        distinct = list(dict.fromkeys(smiles))
        values: dict[str, NDArray[np.float64]] = {}
        new: list[Score] = []
        for weighted in self.objective.components:
            component = weighted.component
            known = self._look_up(component, distinct)
            missing = [text for text in distinct if text not in known]
            if component.cost == "high" and self.store is not None:
                known |= self._score_expensive(component, missing)
            else:
                computed = _scores(component, missing, score_many(component, missing))
                new += computed
                known |= {score.smiles: score for score in computed}
            values[component.name] = np.array([_number(known[text]) for text in distinct], np.float64)
        return ScoredMolecules(distinct, values, self.objective.rewards(values), new)

    def _look_up(self, component: Component, smiles: Sequence[str]) -> dict[str, Score]:
        if self.store is None or not smiles:
            return {}
        return self.store.find_scores(component.name, component.version, smiles)

    def _score_expensive(self, component: Component, smiles: Sequence[str]) -> dict[str, Score]:
        """Score the molecules that no other scorer has claimed, one at a time, and wait for the others."""
        assert self.store is not None
        scored: dict[str, Score] = {}
        waiting = list(smiles)
        with _Writer(self.store, self.run_id, self.owner, component, self.pace) as writer:
            while waiting:
                held_elsewhere = []
                for text in waiting:
                    if not writer.claim(text):
                        held_elsewhere.append(text)
                        continue
                    # Between the look-up and the claim another process may have finished and released this molecule.
                    found = self._look_up(component, [text])
                    if text in found:
                        writer.release(text)
                    else:
                        found = {text: _scores(component, [text], component.values([text]))[0]}
                        writer.put(found[text])
                    scored |= found
                if held_elsewhere:
                    time.sleep(self.pace.poll_seconds)
                    scored |= self._look_up(component, held_elsewhere)
                waiting = [text for text in held_elsewhere if text not in scored]
        return scored


def _scores(component: Component, smiles: Sequence[str], raw: Sequence[RawScore]) -> list[Score]:
    return [
        Score(
            smiles=text,
            component=component.name,
            version=component.version,
            value=result.value,
            status=ScoreStatus.FAILED if result.value is None else ScoreStatus.OK,
            error=result.error,
            seconds=result.seconds,
        )
        for text, result in zip(smiles, raw, strict=True)
    ]


def _number(score: Score) -> float:
    return score.value if score.status is ScoreStatus.OK and score.value is not None else float("nan")


@dataclass
class _Writer:
    """Commits expensive scores in a thread of its own, since the next call of a component may take hours.

    The thread also renews the claims on molecules being scored: they outlive a long call, but not a dead process.
    """

    store: SampleStore
    run_id: str | None
    owner: str
    component: Component
    pace: ClaimTiming
    _arrived: SimpleQueue[Score | None] = field(default_factory=SimpleQueue)
    _claimed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failure: BaseException | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> _Writer:
        self._thread = threading.Thread(target=self._work, name="expensive-scores", daemon=False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._arrived.put(None)
        self._thread.join()
        with self._lock:
            left = list(self._claimed)
        for smiles in left:
            self.release(smiles)
        if self._failure is not None:
            raise self._failure

    def claim(self, smiles: str) -> bool:
        if self._failure is not None:
            raise self._failure
        granted = self._ask_for([smiles])
        with self._lock:
            self._claimed |= granted
        return smiles in granted

    def release(self, smiles: str) -> None:
        with self._lock:
            self._claimed.discard(smiles)
        self.store.claims.release(self.component.name, self.component.version, [smiles], self.owner)

    def put(self, score: Score) -> None:
        self._arrived.put(score)

    def _work(self) -> None:
        try:
            renewed = time.monotonic()
            ending = False
            while not ending:
                batch, ending = self._take()
                if batch:
                    self.store.record_scores(batch, run_id=self.run_id)
                    for score in batch:
                        self.release(score.smiles)
                if time.monotonic() - renewed >= self.pace.renewal_seconds:
                    self._renew()
                    renewed = time.monotonic()
        except BaseException as error:  # handed to the thread that scores, which raises it
            self._failure = error

    def _take(self) -> tuple[list[Score], bool]:
        """Return the scores that arrive within ``flush_seconds`` of the first one, and whether the last one has
        arrived.
        """
        batch: list[Score] = []
        try:
            score = self._arrived.get(timeout=self.pace.renewal_seconds)
            deadline = time.monotonic() + self.pace.flush_seconds
            while score is not None:
                batch.append(score)
                score = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return batch, False
        return batch, True

    def _renew(self) -> None:
        with self._lock:
            held = list(self._claimed)
        if held:
            self._ask_for(held)

    def _ask_for(self, smiles: Sequence[str]) -> set[str]:
        component, seconds = self.component, self.pace.claim_seconds
        return self.store.claims.claim(component.name, component.version, smiles, self.owner, seconds)
