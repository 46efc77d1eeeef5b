"""The ``[[samplers]]`` tables: who draws molecules, and how much of the buffer and of each batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from molbuffer.flows.settings.base import Count, Share, Text, Texts
from molbuffer.flows.settings.draws import (
    DrawKeys,
    LatentDraws,
    LatentSamplerSettings,
    PolicyKeys,
    PriorDraws,
    PriorSamplerSettings,
    SamplingKeys,
    SizeKeys,
)


class ModelDraws(PolicyKeys):
    """Draws from a generative model."""

    kind: Literal["model"]
    """A generative model."""


class DatasetDraws(DrawKeys):
    """Draws from a file of molecules."""

    kind: Literal["dataset"]
    """A file of molecules."""

    path: Text
    """A .smi, .txt, .csv (each also .gz) or .parquet file; relative to the folder of the configuration file."""

    column: Text | None = None
    """The column of the molecules in a table; default: one called smiles."""

    replacement: bool = False
    """Draw each molecule independently; otherwise a run goes through the whole file before a row comes again."""


class PairDatasetDraws(DrawKeys):
    """Draws from a file of pairs of molecules."""

    kind: Literal["pair_dataset"]
    """A file of pairs, such as `molbuffer pairs` makes."""

    path: Text
    """A .csv (also .gz) or .parquet file; relative to the folder of the configuration file."""

    source_column: Text = "source"
    """The column of the molecules that pairs start from."""

    target_column: Text = "target"
    """The column of the molecules that are to be made of them: the samples."""

    replacement: bool = False
    """Draw each pair independently; otherwise a run goes through the whole file before a pair comes again."""


ChoiceName = Literal["uniform", "top_k", "quantile", "recent", "scaffold"]
CHOICE_KEYS: Mapping[ChoiceName, str | None] = {
    "uniform": None,
    "top_k": "top_k",
    "quantile": "quantile",
    "recent": "max_iterations",
    "scaffold": None,
}
"""The key that belongs to each choice of stored rows and to no other."""


def _in_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class HistoryDraws(DrawKeys):
    """Draws stored molecules once more, with all that was stored of them; they are not stored again."""

    kind: Literal["history"]
    """Molecules of the history that have a reward under this objective."""

    select: ChoiceName = "uniform"
    """uniform: any row, equally likely; top_k: the best molecules; quantile: the rows whose reward is at least a
    quantile of all rewards; recent: the newest iterations of each run; scaffold: the same chance for each scaffold."""

    top_k: Count | None = None
    """Of top_k: how many of the best molecules are drawn from; default 100."""

    quantile: Share | None = None
    """Of quantile: the quantile of the rewards, in [0, 1], itself included; default 0.9, the best tenth."""

    max_iterations: Count | None = None
    """Of recent: how many of each run's newest iterations; default 10."""

    runs: Annotated[Texts, BeforeValidator(_in_a_list), Field(min_length=1)] = ("own",)
    """"own": rows of this run before its last checkpoint; "all": also of other runs, as of the start of this run; or a
    list of the ids of runs, or how they start, in which "own" may stand too."""

    where: Text | None = None
    """An SQL condition on ``sample_history`` that the rows must fulfil as well, such as ``reward > 0.5``."""

    @property
    def in_chunks(self) -> bool:
        """Two chunks would draw the same rows, and nothing of this takes long."""
        return False


class ContrastiveDraws(SamplingKeys):
    """Draws pairs: sources from any other sampler, and for each of them targets from a conditional model."""

    kind: Literal["contrastive"]
    """Pairs of a source and a target."""

    base_sampler: InnerDraws
    """A table of any kind of sampler, without a name and sizes: who draws the sources."""

    output_model: Text = "agent"
    """The conditional model that draws the targets: named like the policy of a model sampler."""

    repeats: Count = 1
    """Targets of each source."""

    @property
    def inner(self) -> DrawKeys:
        return self.base_sampler

    @property
    def policies(self) -> tuple[str, ...]:
        return (self.output_model, *self.base_sampler.policies)


class ParentKeys(DrawKeys):
    """Changes molecules of any other sampler."""

    base_sampler: InnerDraws
    """A table of any kind of sampler, without a name and sizes: who draws the parents."""

    @property
    def inner(self) -> DrawKeys:
        return self.base_sampler

    @property
    def policies(self) -> tuple[str, ...]:
        return self.base_sampler.policies


class MutationDraws(ParentKeys):
    """Replaces, inserts, deletes and swaps tokens of the SMILES of other molecules."""

    kind: Literal["mutation"]
    """Molecules that differ from others by a token or two."""

    mutations: Count = 1
    """Changes of each parent."""

    valid_only: bool = True
    """Change a parent anew until a molecule comes out that is not the parent itself."""


class GraphGADraws(ParentKeys):
    """Draws children of the best stored molecules, and, as long as there are few, of those of the base sampler."""

    kind: Literal["graph_ga"]
    """A genetic algorithm on molecular graphs."""

    parents: Annotated[int, Field(ge=2)] = 100
    """How many of the best molecules have children; better ones have more."""

    crossover_rate: Share = 0.8
    """How often a child has two parents; otherwise it is a mutant of one."""

    mutation_rate: Share = 0.5
    """How often a child of two parents is mutated as well."""

    most_atoms: Count = 50
    """Heavy atoms of a child at most: without a bound, molecules grow."""

    runs: Annotated[Texts, BeforeValidator(_in_a_list), Field(min_length=1)] = ("own",)
    """Whose molecules are parents: as of the history sampler."""


InnerDraws = Annotated[
    ModelDraws
    | PriorDraws
    | LatentDraws
    | DatasetDraws
    | PairDatasetDraws
    | HistoryDraws
    | ContrastiveDraws
    | MutationDraws
    | GraphGADraws,
    Field(discriminator="kind"),
]
"""Every kind of sampler inside another."""


class ModelSamplerSettings(SizeKeys, ModelDraws):
    """Draws from a generative model."""

    unique: bool = False
    """Keep each molecule once in a build of the buffer, and once in what is drawn for a batch; others are drawn for
    the repetitions, which are stored as rejected."""

    @property
    def in_chunks(self) -> bool:
        """A chunk does not know what others of its build have kept."""
        return not self.unique


class DatasetSamplerSettings(SizeKeys, DatasetDraws):
    """Draws from a file of molecules."""


class PairDatasetSamplerSettings(SizeKeys, PairDatasetDraws):
    """Draws from a file of pairs of molecules."""


class HistorySamplerSettings(SizeKeys, HistoryDraws):
    """Draws stored molecules once more, with all that was stored of them; they are not stored again."""


class ContrastiveSamplerSettings(SizeKeys, ContrastiveDraws):
    """Draws pairs: sources from any other sampler, and for each of them targets from a conditional model."""


class MutationSamplerSettings(SizeKeys, MutationDraws):
    """Replaces, inserts, deletes and swaps tokens of the SMILES of other molecules."""


class GraphGASamplerSettings(SizeKeys, GraphGADraws):
    """Draws children of the best stored molecules, and, as long as there are few, of those of the base sampler."""


SamplerSettings = Annotated[
    ModelSamplerSettings
    | PriorSamplerSettings
    | LatentSamplerSettings
    | DatasetSamplerSettings
    | PairDatasetSamplerSettings
    | HistorySamplerSettings
    | ContrastiveSamplerSettings
    | MutationSamplerSettings
    | GraphGASamplerSettings,
    Field(discriminator="kind"),
]
"""Every kind of sampler."""
