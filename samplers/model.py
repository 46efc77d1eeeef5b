"""ModelSampler: draws from any generative model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Sampler, SamplerSize
from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.models import UNTRUNCATED, ConditionKind, Sampling
from molbuffer.samplers.policies import Policy, draw_parts, draw_rows, given_policy
from molbuffer.samplers.seeds import torch_generator


@checked
@dataclass(frozen=True)
class ModelSampler(Sampler):
    """Draws sequences from a policy at a temperature.

    Attributes:
        policy: a function that returns the policy at the time of a draw; the policy in training changes between draws.
        unique: whether a build keeps each molecule only once, and draws other rows instead of repetitions
            (``builds.judging``); "run": the run keeps each molecule only once, and none that it has drawn before.

    Example:
        >>> policy = lab.policy("zinc-gru")
        >>> len(mb.ModelSampler("prior", lambda: policy).draw(4, seed=0).raw)
        4
    """

    name: str
    policy: Callable[[], Policy]
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    sampling: Sampling = UNTRUNCATED
    unique: bool | Literal["run"] = False
    kind: ClassVar[str] = "model"

    def __post_init__(self) -> None:
        model = given_policy("policy", self.policy).model
        if model.condition_kind is ConditionKind.SOURCES:
            raise ConditionError(
                f"the policy of the sampler {self.name!r} is of kind {model.kind!r}, conditioned on "
                f"{model.condition_kind}; make it the output_model of a contrastive sampler, which draws sources for it"
            )

    @property
    def policy_sha256(self) -> str:
        return self.policy().sha256

    def draw(self, n: int, seed: int) -> Draw:
        """Draw exactly n rows with their log-probabilities under the tempered and truncated distribution."""
        return draw_rows(self.policy(), n, self.sampling, torch_generator(seed))

    def draw_ahead(self, n: int, seed: int, spare: int, spare_seed: int) -> tuple[Draw, Draw | None]:
        """Draw n rows as ``draw`` does, and ``spare`` further rows with another seed if that takes hardly longer.

        Returns:
            The n rows, and the further ones; None if they were not drawn.
        """
        if type(self).draw is not _DRAW:  # a subclass draws in another way
            return self.draw(n, seed), None
        parts = [(n, torch_generator(seed)), (spare, torch_generator(spare_seed))]
        drawn = draw_parts(self.policy(), parts, self.sampling)
        return (self.draw(n, seed), None) if drawn is None else (drawn[0], drawn[1])


_DRAW = ModelSampler.draw
