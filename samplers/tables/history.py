"""The tables of samplers that draw from the history: stored rows, or children of the best molecules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Lt

from molbuffer.kinds import Condition, Count, KindTable, OneOf, Outermost, RunNames, Share, Text, Typed, checked
from molbuffer.samplers.tables.base import RunParts, SamplerTable, TokenSource
from molbuffer.samplers.tables.family import OuterTable
from molbuffer.scoring import WAYS, Breeding
from molbuffer.storage import SELECTIONS, Selection, Uniform

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize


SELECT = OneOf(SELECTIONS, bare=True, without=("consume_once",))
"""The selections that a history sampler may have: those that do not count how often a row was drawn before."""

Weight = Annotated[float, Ge(0)]


@checked
@dataclass(frozen=True, kw_only=True)
class HistorySamplerTable(SamplerTable):
    """Stored rows with a reward under this objective, drawn again with all their columns.

    The rows join the live rows of a batch. The sampler has no `buffer_size`: the buffer has the rows already, and the
    selection of the buffer decides how often they are used.

    Attributes:
        select: the selection of rows: uniform: every row with the same probability; each_molecule: every molecule with
            the same probability; top_k: the best molecules; quantile: the rows whose reward is at least a quantile of
            all rewards; recent: rows of the newest iterations; scaffold: every scaffold with the same probability.
        runs: "own": rows of this run before its last checkpoint; "all": also rows of other runs, as of the start of
            this run; or a list of ids of runs, or their first characters, which may include "own".
        where: an SQL condition on ``sample_history`` that the rows must also fulfil, such as ``reward > 0.5``.
    """

    select: Annotated[Selection, Typed(Annotated[KindTable, SELECT])] = Uniform()
    runs: RunNames = ("own",)
    where: Annotated[str | None, Typed(Text | None), Condition()] = None

    @property
    def new_rows(self) -> bool:
        """False, since the buffer has the rows already."""
        return False

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.history import HistorySampler

        history = parts.history(self.runs, self.where)
        return HistorySampler(name, history, parts.prior.vocabulary, selection=self.select, size=size)


@checked
@dataclass(frozen=True, kw_only=True)
class GraphGASamplerTable(OuterTable):
    """A genetic algorithm: children of the best stored molecules, made in four ways.

    While fewer molecules are stored than children are drawn, molecules of the base sampler are parents, too. Rows of
    this run become parents from the next iteration on.

    Attributes:
        parents: the number of best molecules that are parents.
        weighting: the probability of a parent by its rank among n parents, where the best has rank 0: harmonic:
            proportional to 1 / (k n + rank); linear: proportional to n - rank. Parents with equal rewards have the mean
            of their probabilities.
        k: for harmonic: the share of the parents that are about as likely as the best.
        immigrants: the probability that a parent is a new molecule of the base sampler, in [0, 1).
        fragment_crossover: the weight of children of two parents, joined at single bonds outside of rings.
        token_change: the weight of children that are a parent with one token replaced, inserted, deleted or swapped.
        ring_crossover: the weight of children of two parents, joined by the halves of a ring.
        graph_mutation: the weight of children that are a parent with one atom or bond changed.
        crossover_rate: the share of children with two parents, in [0, 1], half of them by rings; others are graph
            mutations. It replaces the four weights, as in earlier versions.
        mutation_rate: the share of children of two parents that are also mutated, in [0, 1].
        most_atoms: the largest number of heavy atoms of a child, since molecules would grow without a bound.
        runs: the runs whose molecules are parents, as for the history sampler.
        unique: "run": keep no molecule that the run has drawn before, so that each reward is a new one; true: keep each
            molecule once in a build.
    """

    parents: Annotated[int, Ge(2)] = 1024
    weighting: Literal["harmonic", "linear"] = "harmonic"
    k: Annotated[float, Gt(0)] = 0.01
    immigrants: Annotated[float, Ge(0), Lt(1)] = 0.0
    fragment_crossover: Weight = Breeding.fragment_crossover
    token_change: Weight = Breeding.token_change
    ring_crossover: Weight = Breeding.ring_crossover
    graph_mutation: Weight = Breeding.graph_mutation
    crossover_rate: Share | None = None
    mutation_rate: Share = Breeding.mutation_rate
    most_atoms: Count = Breeding.most_atoms
    runs: RunNames = ("own",)
    unique: Annotated[bool | Literal["run"], Outermost()] = False

    def __post_init__(self) -> None:
        if self.crossover_rate is not None and self._weights != Breeding().weights:
            raise ValueError(f"crossover_rate replaces {', '.join(WAYS)}; give either crossover_rate, or some of these")
        # The shares are checked before anything runs.
        self.breeding  # noqa: B018

    @property
    def breeding(self) -> Breeding:
        """The shares of the ways to make a child, and the size of children."""
        if self.crossover_rate is None:
            fragments, tokens, rings, mutations = self._weights
        else:
            fragments = rings = self.crossover_rate / 2
            tokens, mutations = 0.0, 1 - self.crossover_rate
        return Breeding(
            fragment_crossover=fragments,
            token_change=tokens,
            ring_crossover=rings,
            graph_mutation=mutations,
            mutation_rate=self.mutation_rate,
            most_atoms=self.most_atoms,
        )

    @property
    def _weights(self) -> tuple[float, float, float, float]:
        return self.fragment_crossover, self.token_change, self.ring_crossover, self.graph_mutation

    @property
    def in_chunks(self) -> bool:
        """Whether chunks are allowed; not with ``unique``, since a chunk does not know the molecules of the others."""
        return not self.unique

    @property
    def token_source(self) -> TokenSource:
        return TokenSource()

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.graph_ga import GraphGASampler

        return GraphGASampler(
            name,
            replace(parts, objective_sha256=None).history(self.runs),
            self.base(name, parts),
            parts.prior.vocabulary,
            size=size,
            parents=self.parents,
            weighting=self.weighting,
            k=self.k,
            immigrants=self.immigrants,
            breeding=self.breeding,
            unique=self.unique,
        )
