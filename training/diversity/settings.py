"""The settings of the diversity memory, which are the table ``[diversity]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from molbuffer.kinds import Count, Share, checked
from molbuffer.scoring import BucketName

PenaltyName = Literal["step", "linear", "sigmoid", "tanh", "erf"]


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
            1 - N/m; sigmoid, tanh and erf fall from 1 to about 0 at m.
        min_similarity: the least similarity to the first molecule of a bucket, for similarity.
        runs: own: only what this run has found counts; all: also what earlier runs have found under the same
            objective, as of the start of this run.

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
    min_similarity: Share = 0.6
    runs: Literal["own", "all"] = "own"
