"""The ``[[samplers]]`` tables: the samplers, and their parts of the buffer and of each batch."""

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
    """Molecules of a generative model."""


class DatasetDraws(DrawKeys):
    """Draws from a file of molecules."""

    kind: Literal["dataset"]
    """Molecules of a file."""

    path: Text
    """A .smi, .txt, .csv, .tsv (each also .gz) or .parquet file; relative to the folder of the configuration file."""

    column: Text | None = None
    """The column of the molecules in a table, in any case; default: smiles or canonical_smiles."""

    replacement: bool = False
    """true: draw each molecule independently; false: a run draws every row of the file once before any row again."""

    largest_fragment: bool = False
    """true: draw the largest fragment of a salt or mixture, in canonical form; false: draw it as it is written."""


class PairDatasetDraws(DrawKeys):
    """Draws from a file of pairs of molecules."""

    kind: Literal["pair_dataset"]
    """Pairs of a file, such as one made by `molbuffer pairs`."""

    path: Text
    """A .csv or .tsv (each also .gz) or .parquet file; relative to the folder of the configuration file."""

    source_column: Text = "source"
    """The column of the sources of pairs."""

    target_column: Text = "target"
    """The column of the targets of pairs, which are the samples."""

    replacement: bool = False
    """true: draw each pair independently; false: a run draws every pair of the file once before any pair again."""

    largest_fragment: bool = False
    """true: draw the largest fragment of a salt or mixture, in canonical form, at both ends."""


ChoiceName = Literal["uniform", "top_k", "quantile", "recent", "scaffold"]
CHOICE_KEYS: Mapping[ChoiceName, str | None] = {
    "uniform": None,
    "top_k": "top_k",
    "quantile": "quantile",
    "recent": "max_iterations",
    "scaffold": None,
}
"""The key that belongs to each way of selecting stored rows and to no other."""


def _in_a_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class HistoryDraws(DrawKeys):
    """Draws stored molecules again, with all that is stored of them; they are not stored a second time."""

    kind: Literal["history"]
    """Stored molecules that have a reward under this objective."""

    select: ChoiceName = "uniform"
    """uniform: every row with the same probability; top_k: the best molecules; quantile: the rows whose reward is at
    least a quantile of all rewards; recent: rows of the newest iterations of each run; scaffold: every scaffold with
    the same probability."""

    top_k: Count | None = None
    """For top_k: the number of best molecules to draw from; default 100."""

    quantile: Share | None = None
    """For quantile: the quantile of the rewards, in [0, 1], inclusive; default 0.9, the best tenth."""

    max_iterations: Count | None = None
    """For recent: the number of newest iterations of each run; default 10."""

    runs: Annotated[Texts, BeforeValidator(_in_a_list), Field(min_length=1)] = ("own",)
    """"own": rows of this run before its last checkpoint; "all": also rows of other runs, as of the start of this
    run; or a list of ids of runs, or their starts, which may include "own"."""

    where: Text | None = None
    """An SQL condition on ``sample_history`` that the rows must also fulfil, such as ``reward > 0.5``."""

    @property
    def in_chunks(self) -> bool:
        """False: two chunks would draw the same rows, and drawing them is fast."""
        return False


class ContrastiveDraws(SamplingKeys):
    """Draws pairs: sources from any other sampler, and targets for each of them from a conditional model."""

    kind: Literal["contrastive"]
    """Pairs of a source and a target."""

    base_sampler: InnerDraws
    """The sampler of the sources: a table of any kind of sampler, without a name and sizes."""

    output_model: Text = "agent"
    """The conditional policy that draws the targets, named like the policy of a model sampler."""

    repeats: Count = 1
    """The number of targets of each source."""

    @property
    def inner(self) -> DrawKeys:
        return self.base_sampler

    @property
    def policies(self) -> tuple[str, ...]:
        return (self.output_model, *self.base_sampler.policies)


class ParentKeys(DrawKeys):
    """The keys of samplers that change molecules of another sampler."""

    base_sampler: InnerDraws
    """The sampler of the parents: a table of any kind of sampler, without a name and sizes."""

    @property
    def inner(self) -> DrawKeys:
        return self.base_sampler

    @property
    def policies(self) -> tuple[str, ...]:
        return self.base_sampler.policies


class MutationDraws(ParentKeys):
    """Replaces, inserts, deletes and swaps tokens in the SMILES of other molecules."""

    kind: Literal["mutation"]
    """Molecules that differ from others in one token or a few."""

    mutations: Count = 1
    """The number of changes of each parent."""

    valid_only: bool = True
    """Change each parent again until the result is a molecule other than the parent."""


class GraphGADraws(ParentKeys):
    """Draws children of the best stored molecules, and of molecules of the base sampler while too few are stored."""

    kind: Literal["graph_ga"]
    """A genetic algorithm on molecular graphs."""

    parents: Annotated[int, Field(ge=2)] = 100
    """The number of best molecules that are parents; better ones have more children."""

    crossover_rate: Share = 0.8
    """The share of children with two parents, in [0, 1]; others are mutants of one parent."""

    mutation_rate: Share = 0.5
    """The share of children of two parents that are mutated as well, in [0, 1]."""

    most_atoms: Count = 50
    """The most heavy atoms of a child: without a bound, molecules grow."""

    runs: Annotated[Texts, BeforeValidator(_in_a_list), Field(min_length=1)] = ("own",)
    """The runs whose molecules are parents, as for the history sampler."""


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
    """Keep each molecule once in a build of the buffer, and once in the draws for a batch. Repetitions are stored as
    rejected, and replaced by further draws."""

    @property
    def in_chunks(self) -> bool:
        """Whether chunks are allowed: with ``unique`` they are not, since a chunk does not know what others have
        kept.
        """
        return not self.unique


class DatasetSamplerSettings(SizeKeys, DatasetDraws):
    """Draws from a file of molecules."""


class PairDatasetSamplerSettings(SizeKeys, PairDatasetDraws):
    """Draws from a file of pairs of molecules."""


class HistorySamplerSettings(SizeKeys, HistoryDraws):
    """Draws stored molecules again, with all that is stored of them; they are not stored a second time."""


class ContrastiveSamplerSettings(SizeKeys, ContrastiveDraws):
    """Draws pairs: sources from any other sampler, and targets for each of them from a conditional model."""


class MutationSamplerSettings(SizeKeys, MutationDraws):
    """Replaces, inserts, deletes and swaps tokens in the SMILES of other molecules."""


class GraphGASamplerSettings(SizeKeys, GraphGADraws):
    """Draws children of the best stored molecules, and of molecules of the base sampler while too few are stored."""


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
