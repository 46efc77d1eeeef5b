"""The report of an offline training, which compares the draws of the new policy with its data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from molbuffer.lab.offline.plan import Criterion
from molbuffer.lab.offline.relabel import Relabelled
from molbuffer.samplers import numpy_generator
from molbuffer.storage import HistoryIndex, Metric, Positions
from molbuffer.training import DrawEvaluation, MoleculeQuality, OffPolicyEstimate, mean_of_best, molecule_quality

LAST_ROWS = 1_000
"""The number of last rows of the data that a policy is compared with, and the most whose diversity is computed."""


@dataclass(frozen=True)
class OfflineReport:
    """The data of an offline training and its policy, in numbers.

    Attributes:
        data: the quality of all rows, held-out rows included; the diversity is that of at most 1,000 of them.
        last: the quality of the last 1,000 rows, in the order of the sources and of their history.
        policy: the fresh draws of the policy; None if nothing was drawn.
        off_policy: the off-policy estimate of the mean reward of the policy, from the held-out rows.
        held_out: the number of held-out rows.
        validation_loss: the loss of the held-out rows under the policy; None without held-out rows.
        criterion: the criterion by which a policy is the best on the held-out rows.
        best_iteration: the number of steps of the policy that was best on the held-out rows, which is the result; None
            without held-out rows, when the last policy is the result.
        relabelled: the result of the relabelling; None if rows without a reward were left out.
        notes: explanations of missing numbers.
    """

    data: MoleculeQuality
    last: MoleculeQuality
    policy: DrawEvaluation | None = None
    off_policy: OffPolicyEstimate = OffPolicyEstimate()
    held_out: int = 0
    validation_loss: float | None = None
    criterion: Criterion = "loss"
    best_iteration: int | None = None
    relabelled: Relabelled | None = None
    notes: Sequence[str] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "data": asdict(self.data),
            "last": asdict(self.last),
            "policy": None if self.policy is None else dict(_of_draws(self.policy)),
            "off_policy": asdict(self.off_policy),
            "held_out": self.held_out,
            "validation_loss": self.validation_loss,
            "criterion": self.criterion,
            "best_iteration": self.best_iteration,
            "relabelled": None if self.relabelled is None else asdict(self.relabelled),
            "notes": list(self.notes),
        }

    def metrics(self) -> list[Metric]:
        """Return the numbers of the report as metrics of the run; None is stored as null."""
        found: dict[str, float | None] = {}
        for name, quality in (("data", self.data), ("last", self.last)):
            found |= {f"{name}_{key}": value for key, value in asdict(quality).items()}
        found |= evaluation_metrics(self.policy)
        of = self.off_policy
        found |= {"off_policy_mean": of.mean, "off_policy_low": of.low, "off_policy_high": of.high}
        found["off_policy_effective_sample_size"] = of.effective_sample_size
        if self.best_iteration is not None:
            found["best_iteration"] = float(self.best_iteration)
        return [Metric(name, None if value is None else float(value)) for name, value in found.items()]


def evaluation_metrics(draws: DrawEvaluation | None) -> dict[str, float | None]:
    """Return the numbers of an evaluation as metrics, by name; empty if nothing was drawn."""
    return {} if draws is None else {f"evaluation_{name}": value for name, value in _of_draws(draws)}


def _of_draws(draws: DrawEvaluation) -> Iterator[tuple[str, float | None]]:
    yield from asdict(draws.quality).items()
    yield "validity", draws.validity if draws.draws else None
    yield "novelty", draws.novelty
    yield "oracle_calls", draws.oracle_calls


def data_quality(index: HistoryIndex, seed: int) -> MoleculeQuality:
    """Return the quality of all rows of an index; the diversity is that of ``LAST_ROWS`` random rows."""
    n = len(index)
    chosen = numpy_generator(seed, "report").permutation(n)[:LAST_ROWS]
    known = index.molecules.tolist()
    return MoleculeQuality(
        rows=n,
        mean=float(index.rewards.mean()) if n else None,
        top_10=mean_of_best(known, index.rewards, 10),
        top_100=mean_of_best(known, index.rewards, 100),
        uniqueness=len(np.unique(index.molecules)) / n if n else None,
        internal_diversity=_quality(index, np.sort(chosen)).internal_diversity,
    )


def last_quality(index: HistoryIndex) -> MoleculeQuality:
    """Return the quality of the last ``LAST_ROWS`` rows of an index, or of as many as there are."""
    return _quality(index, np.arange(max(0, len(index) - LAST_ROWS), len(index)))


def _quality(index: HistoryIndex, positions: Positions) -> MoleculeQuality:
    texts = index.read("smiles", positions) if len(positions) else []
    molecules = [(text, row) for text, row in zip(texts, positions.tolist(), strict=True) if text is not None]
    rewards = index.rewards[np.array([row for _, row in molecules], np.int64)]
    return molecule_quality([text for text, _ in molecules], rewards)
