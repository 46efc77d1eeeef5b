"""The tables of samplers that draw from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from molbuffer.kinds import MoleculeFile, Text, Typed, checked
from molbuffer.samplers.tables.base import RunParts, SamplerTable, TokenSource

if TYPE_CHECKING:
    from molbuffer.samplers.base import Sampler, SamplerSize


@dataclass(frozen=True, kw_only=True)
class FileKeys(SamplerTable):
    """The keys that all samplers of files share."""

    replacement: bool = False
    largest_fragment: bool = False
    id_column: Annotated[str | None, Typed(Text | None)] = None

    @property
    def token_source(self) -> TokenSource:
        return TokenSource()

    def given(self, parts: RunParts) -> dict[str, Any]:
        """Return the arguments of the sampler that do not depend on its columns."""
        return {
            "replacement": self.replacement,
            "standardisation": parts.standardisation,
            "largest_fragment": self.largest_fragment,
            "id_column": self.id_column,
        }


@checked
@dataclass(frozen=True, kw_only=True)
class DatasetSamplerTable(FileKeys):
    """Molecules of a file.

    Attributes:
        path: a .smi, .txt, .csv, .tsv (each also .gz) or .parquet file; relative to the folder of the configuration
            file.
        column: the column of the molecules in a table, in any case; default: smiles or canonical_smiles.
        replacement: true: draw each molecule independently; false: a run draws every row of the file once before any
            row again.
        largest_fragment: true: draw the largest fragment of a salt or mixture, in canonical form; false: draw it as it
            is written.
        id_column: the column with the ids of the rows, which are stored with the samples as file_id; "name" for a .smi
            file.
    """

    path: Annotated[str, Typed(Text), MoleculeFile(("column",), "id_column")]
    column: Annotated[str | None, Typed(Text | None)] = None

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.dataset import DatasetSampler

        return DatasetSampler(
            name,
            Path(self.path),
            parts.prior.vocabulary,
            size=size,
            column=self.column,
            **self.given(parts),
        )


@checked
@dataclass(frozen=True, kw_only=True)
class PairDatasetSamplerTable(FileKeys):
    """Pairs of a file, such as one made by `molbuffer pairs`.

    Attributes:
        path: a .csv or .tsv (each also .gz) or .parquet file; relative to the folder of the configuration file.
        source_column: the column of the sources of pairs.
        target_column: the column of the targets of pairs, which are the samples.
        replacement: true: draw each pair independently; false: a run draws every pair of the file once before any pair
            again.
        largest_fragment: true: replace a salt or mixture by its largest fragment, in canonical form, in sources and
            targets.
        id_column: the column with the ids of the pairs, which are stored with the samples as file_id.
    """

    path: Annotated[str, Typed(Text), MoleculeFile(("source_column", "target_column"), "id_column")]
    source_column: Text = "source"
    target_column: Text = "target"

    def sampler(self, name: str, size: SamplerSize, parts: RunParts) -> Sampler:
        from molbuffer.samplers.pair_dataset import PairDatasetSampler

        return PairDatasetSampler(
            name,
            Path(self.path),
            parts.prior.vocabulary,
            size=size,
            source_column=self.source_column,
            target_column=self.target_column,
            **self.given(parts),
        )
