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
    """The settings of the diversity memory of a run.

    Attributes:
        buckets: the molecules that share a bucket. scaffold: the same Bemis-Murcko scaffold; generic_scaffold: the same
            scaffold with all atoms carbon and all bonds single; molecule: draws of the same molecule, each of which
            counts; similarity: similar to the first molecule of the bucket. Molecules without a ring share a scaffold.
        size: the number of molecules at which a bucket is full.
        min_reward: the least reward at which a molecule counts and can be penalised.
        penalty: the factor on the reward in a bucket of N molecules, full at m. step: 1 up to m, then 0; linear:
            1 - N/m; sigmoid, tanh and erf fall from 1 to about 0 at m; none: always 1.
        min_similarity: the least similarity to the first molecule of a bucket, for similarity alone; default: 0.6.
        runs: the runs whose molecules count. own: this run; all: also earlier runs under the same objective, as of the
            start of this run.
        purge: whether molecules of overfull buckets leave the buffer, so that no selection chooses them.
        bonus: the bonus on the rewards of molecules that count. rnd: falls the more similar molecules the run has found
            (random network distillation); surprise: the distance of the reward from the prediction of a network; none:
            no bonus.
        bonus_weight: the reward that the largest bonus adds.

    Raises:
        ValueError: min_similarity is given without buckets by similarity, or bonus_weight without a bonus.

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
        # 0.6 was the default for all buckets, and recorded runs with it must still be readable.
        if self.min_similarity not in (None, DEFAULT_MIN_SIMILARITY) and self.buckets != "similarity":
            raise ValueError(
                f"min_similarity needs buckets by similarity, got buckets by {self.buckets}: leave it out, or "
                'set buckets to "similarity"'
            )

        if self.bonus == "none" and self.bonus_weight != type(self).bonus_weight:
            raise ValueError('bonus_weight needs a bonus, got bonus "none": leave it out, or set bonus')

    @property
    def least_similarity(self) -> float:
        """The least similarity to the first molecule of a bucket."""
        return DEFAULT_MIN_SIMILARITY if self.min_similarity is None else self.min_similarity
