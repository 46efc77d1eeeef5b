"""The tables of samplers that draw from the stored history: its rows again, or children of its best molecules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, MinLen
from pydantic import BeforeValidator

from molbuffer.kinds import Condition, Count, KindTable, OneOf, Share, Text, Typed, checked
from molbuffer.samplers.tables.base import RunParts, SamplerTable, TokenSource
from molbuffer.samplers.tables.family import OuterTable
from molbuffer.scoring import Breeding
from molbuffer.storage import SELECTIONS, Selection, Uniform

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize


def _in_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


SELECT = OneOf(SELECTIONS, bare=True, without=("consume_once",))
"""The selections of draws, which do not count how often a row was delivered."""

Runs = Annotated[tuple[str, ...], Typed(tuple[Text, ...]), BeforeValidator(_in_a_list), MinLen(1)]


@checked
@dataclass(frozen=True, kw_only=True)
class HistorySamplerTable(SamplerTable):
    """Stored molecules that have a reward under this objective, drawn again with all that is stored of them.

    They join the live rows of a batch. The sampler has no `buffer_size`: the buffer has them already, and its selection
    says how often they come.

    Attributes:
        select: which rows: uniform: every row with the same probability; top_k: the best molecules; quantile: the rows
            whose reward is at least a quantile of all rewards; recent: rows of the newest iterations; scaffold: every
            scaffold with the same probability.
        runs: "own": rows of this run before its last checkpoint; "all": also rows of other runs, as of the start of
            this run; or a list of ids of runs, or their starts, which may include "own".
        where: an SQL condition on ``sample_history`` that the rows must also fulfil, such as ``reward > 0.5``.
    """

    select: Annotated[Selection, Typed(Annotated[KindTable, SELECT])] = Uniform()
    runs: Runs = ("own",)
    where: Annotated[str | None, Typed(Text | None), Condition()] = None

    @property
    def new_rows(self) -> bool:
        """False: the buffer has its rows already."""
        return False

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.history import HistorySampler

        history = parts.history(self.runs, self.where)
        return HistorySampler(name, history, parts.prior.vocabulary, selection=self.select, size=size)


@checked
@dataclass(frozen=True, kw_only=True)
class GraphGASamplerTable(OuterTable):
    """A genetic algorithm on molecular graphs: children of the best stored molecules.

    Molecules of the base sampler are parents while too few are stored.

    Attributes:
        parents: the number of best molecules that are parents; better ones have more children.
        crossover_rate: the share of children with two parents, in [0, 1]; others are mutants of one parent.
        mutation_rate: the share of children of two parents that are mutated as well, in [0, 1].
        most_atoms: the most heavy atoms of a child: without a bound, molecules grow.
        runs: the runs whose molecules are parents, as for the history sampler.
    """

    parents: Annotated[int, Ge(2)] = 100
    crossover_rate: Share = 0.8
    mutation_rate: Share = 0.5
    most_atoms: Count = 50
    runs: Runs = ("own",)

    @property
    def token_source(self) -> TokenSource:
        return TokenSource()

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.graph_ga import GraphGASampler

        breeding = Breeding(
            crossover_rate=self.crossover_rate, mutation_rate=self.mutation_rate, most_atoms=self.most_atoms
        )
        history = replace(parts, objective_sha256=None).history(self.runs)
        base, vocabulary = self.base(name, parts), parts.prior.vocabulary
        return GraphGASampler(name, history, base, vocabulary, size=size, parents=self.parents, breeding=breeding)
