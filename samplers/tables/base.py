"""The base class of the tables of samplers, and the parts of a run that samplers are made with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from molbuffer.kinds import MoleculeFile, PolicyName, values_marked
from molbuffer.scoring import Standardisation

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize
    from molbuffer.samplers.history import RunHistory
    from molbuffer.samplers.policies import Policy
    from molbuffer.storage import Build, SampleStore

INNER_SAMPLER = "base_sampler"
"""The key of the base sampler in the table of another sampler."""


BEST = "best"
"""The name of the best agent of a run, in the table of a sampler."""


@dataclass(frozen=True)
class RunParts:
    """The parts of a run that its samplers share.

    Attributes:
        store: the open store.
        run_id: the run that the samplers draw for.
        prior: the prior, to which the loss keeps the policy in training close.
        prior_name: the name of the prior in the configuration.
        agent: a function that returns the policy in training at the time of a draw.
        settled: a function that returns the iteration before which all rows of the run are committed.
        standardisation: the standardisation of the campaign.
        objective_sha256: the objective by whose rewards stored rows are drawn; None is that of the run.
        inner_objective_sha256: the objective by whose rewards a base sampler draws stored rows; None is that of the
            run.
        latents: the sha256 of the latents of samplers, by the samplers' names; a sampler without an entry begins with
            new latents.
        unsettled: a function that returns the live builds of the iterations since ``settled``, which are not committed;
            None if there was no such iteration.
        best: a function that returns the best agent of the run at the time of a draw; None without training.
    """

    store: SampleStore
    run_id: str
    prior: Policy
    prior_name: str
    agent: Callable[[], Policy]
    settled: Callable[[], int]
    standardisation: Standardisation = Standardisation()
    objective_sha256: str | None = None
    inner_objective_sha256: str | None = None
    latents: Mapping[str, str] = field(default_factory=dict)
    unsettled: Callable[[], Sequence[Build] | None] = lambda: None
    best: Callable[[], Policy] | None = None

    def policy(self, name: str) -> Callable[[], Policy]:
        """Return a function that returns the named policy at the time of a draw."""
        if name == "agent":
            return self.agent
        if name == BEST:
            return self.best or self.agent
        from molbuffer.samplers.policies import open_policy

        if name in ("prior", self.prior_name):
            return lambda: self.prior
        policy = open_policy(name, self.store, self.prior.model.device)
        return lambda: policy

    def history(self, runs: Sequence[str], where: str | None = None) -> RunHistory:
        """Return the stored rows of runs.

        Args:
            runs: "own", "all", or ids of runs or their first characters.
            where: an SQL condition on ``sample_history``.
        """
        from molbuffer.samplers.history import RunHistory
        from molbuffer.storage import check_predicate

        run = self.store.run(self.run_id)
        objective_sha256 = self.objective_sha256 or run.objective_sha256
        assert objective_sha256 is not None
        named = tuple(run.run_id if name == "own" else self.store.run(name).run_id for name in runs if name != "all")
        return RunHistory(
            self.store,
            run.run_id,
            objective_sha256=objective_sha256,
            vocabulary=self.prior.vocabulary,
            settled=self.settled,
            unsettled=self.unsettled,
            foreign_snapshot=run.pinned_snapshot,
            runs=None if "all" in runs else named,
            where=None if where is None else check_predicate(where),
        )

    def of_inner(self) -> RunParts:
        """Return the parts for a base sampler, which draws stored rows by their own rewards, not by those of pairs."""
        # The latents belong to samplers of the campaign, one of which may have the name of the base sampler.
        return replace(self, objective_sha256=self.inner_objective_sha256, latents={})


@dataclass(frozen=True)
class TokenSource:
    """The distribution that a sampler draws tokens from, which decides the losses that can learn from its rows.

    Attributes:
        policy: the policy, by its name in the configuration; None for a sampler whose rows have no likelihood.
        temperature: the divisor of the logits.
        truncated: whether top_k or top_p leaves tokens out.
    """

    policy: str | None = None
    temperature: float = 1.0
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class SamplerTable(ABC):
    """The keys of a kind of sampler: a frozen dataclass, from which a run makes the sampler."""

    @abstractmethod
    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        """Return the sampler.

        Args:
            name: the name of the sampler in the history and in metrics.
            size: the number of rows that the sampler draws, and its iterations.
            parts: the parts of the run that its samplers share.
        """

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies that the sampler and its base sampler draw from, by their names in the configuration."""
        own = (value for value, _ in values_marked(self, PolicyName))
        return (*own, *(() if self.inner is None else self.inner.policies))

    @property
    def token_source(self) -> TokenSource | None:
        """The distribution that tokens are drawn from; None if it is recorded only with each row."""
        return None

    @property
    def inner(self) -> SamplerTable | None:
        """The table of the base sampler; None without one."""
        found = getattr(self, INNER_SAMPLER, None)
        return found if isinstance(found, SamplerTable) else None

    @property
    def molecule_files(self) -> Iterator[tuple[str, list[str | None]]]:
        """The files of molecules that the sampler itself reads, each with its columns; without those of the base."""
        for path, marker in values_marked(self, MoleculeFile):
            yield path, [getattr(self, column) for column in marker.columns]

    @property
    def new_rows(self) -> bool:
        """Whether the sampler draws new rows, so that it can fill the buffer."""
        return True

    @property
    def in_chunks(self) -> bool:
        """Whether the rows of a build can be divided among tasks."""
        return True
