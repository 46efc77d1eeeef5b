"""The settings of the diversity memory, which are the table ``[diversity]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt

from molbuffer.kinds import Count, Share, Typed, checked
from molbuffer.scoring import BucketName

PenaltyName = Literal["step", "linear", "sigmoid", "tanh", "erf", "none"]
BonusName = Literal["none", "rnd", "surprise"]
DEFAULT_MIN_SIMILARITY = 0.6


@checked
@dataclass(frozen=True)
class DiversitySettings:
    """The diversity memory of a run.

    Attributes:
        buckets: scaffold: molecules with one Bemis-Murcko scaffold are alike; generic_scaffold: those with one scaffold
            of carbon atoms and single bonds; molecule: only draws of the same molecule, each of which counts;
            similarity: those that are similar to the first one of a bucket. Molecules without a ring share a scaffold.
        size: the number of molecules at which a bucket is full.
        min_reward: the least reward of a molecule that counts, and whose reward can be penalised.
        penalty: the factor on the reward in a bucket of N molecules, full at m. step: 1 up to m, then 0; linear:
            1 - N/m; sigmoid, tanh and erf fall from 1 to about 0 at m; none: always 1.
        min_similarity: the least similarity to the first molecule of a bucket, for similarity alone; default: 0.6.
        runs: own: only what this run has found counts; all: also what earlier runs have found under the same
            objective, as of the start of this run.
        purge: whether molecules of overfull buckets leave the buffer, so that no selection gives them.
        bonus: what is added to the rewards of molecules that count. rnd: it falls with the molecules alike that the
            run has found (random network distillation); surprise: the distance of the reward from what a network
            expected; none: nothing.
        bonus_weight: the reward that the largest bonus adds.

    Raises:
        ValueError: there is a min_similarity without buckets by similarity, or a bonus_weight without a bonus.

    Example:
        >>> with lab.run("diverse", objective=objective, seed=0) as run:
        ...     live = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=1.0))
        ...     settings = mb.DiversitySettings(buckets="similarity", penalty="tanh", min_reward=0.0)
        ...     result = run.train(batch_size=4, iterations=1, samplers=[live], diversity=settings)
        >>> lab.query("SELECT sum(molecules) FROM buckets").item()
        4
    """

    buckets: BucketName = "scaffold"
    size: Count = 25
    min_reward: Share = 0.4
    penalty: PenaltyName = "step"
    min_similarity: Annotated[float | None, Typed(Share | None)] = None
    runs: Literal["own", "all"] = "own"
    purge: bool = False
    bonus: BonusName = "none"
    bonus_weight: Annotated[float, Gt(0)] = 0.1

    def __post_init__(self) -> None:
        # Runs that were recorded when this was its default for any buckets can be read.
        if self.min_similarity not in (None, DEFAULT_MIN_SIMILARITY) and self.buckets != "similarity":
            raise ValueError(
                f"min_similarity is that of buckets by similarity, and these are by {self.buckets}: leave it out, or "
                'set buckets to "similarity"'
            )

        if self.bonus == "none" and self.bonus_weight != type(self).bonus_weight:
            raise ValueError("bonus_weight is that of a bonus, and there is none: leave it out, or set bonus")

    @property
    def least_similarity(self) -> float:
        """The least similarity to the first molecule of a bucket."""
        return DEFAULT_MIN_SIMILARITY if self.min_similarity is None else self.min_similarity
