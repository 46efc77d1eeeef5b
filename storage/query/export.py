"""Export of the history of samples, or of its molecules, to one file, for people and programs without molbuffer.

The history has one row for each drawn sample, with the columns of the view ``sample_history``, in the history's order:
by the start of the run, and within a run by iteration, event, position of the sampler in the configuration, chunk and
row. The molecules are those of ``query.molecules``, one row for each molecule and objective, the best first. Rows are
streamed; data that sorting cannot hold in a fixed memory are put into a private temporary folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from molbuffer.storage.backends import one_line, quote_name
from molbuffer.storage.catalog import ReadableCatalog, bind
from molbuffer.storage.errors import PredicateError, QueryError
from molbuffer.storage.files import replacing, sync_paths
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.query.molecules import all_molecules_sql, component_names, molecule_columns
from molbuffer.storage.query.sandbox import QueryLimits, check_condition, sandbox

EXPORT_COLUMNS: Mapping[str, str] = {
    "run_id": "the run that drew the sample",
    "run_name": "the name of the run",
    "run_kind": "build, train, offline, pretrain, score or import",
    "build_id": "the build of the sample; with row, its identity",
    "row": "the position of the sample in the build, from 0",
    "iteration": "the iteration of the run, from 0",
    "event": "build_buffer (for the buffer), sample_batch (for a training batch) or evaluation",
    "sampler": "the name of the sampler in the configuration",
    "sampler_kind": "model, dataset, ...",
    "sampler_order": "the position of the sampler in the configuration, from 0",
    "chunk": "the chunk of the build, from 0",
    "stage": "the stage of the run, from 0; null without stages",
    "policy_sha256": "the policy that drew the sample",
    "latent_sha256": "the sha256 of the latent prior, or of the latent vectors, that the latent vector is from",
    "temperature": "the temperature at which the sample was drawn",
    "top_k": "the top_k with which the sample was drawn; empty for all tokens",
    "top_p": "the top_p with which the sample was drawn; empty for all tokens",
    "smiles": "canonical SMILES of the molecule; empty when the string is not a molecule",
    "raw": "the string as it was drawn",
    "source_smiles": "for pairs, the source molecule",
    "source_build_id": "for pairs, the build of the source molecule",
    "source_row": "for pairs, the row of the source molecule in that build",
    "kept": "whether the sample passed every filter",
    "rejected_by": "the filter that rejected the sample",
    "reward": "the reward under the objective; empty unless reward_status is ok",
    "reward_status": "ok, failed, lost or pending",
    "objective_sha256": "the objective of the reward",
    "created": "when the sample was stored, UTC",
    "file": "for samples of a file, the path of the file",
    "file_line": "for samples of a file, the line of the row",
    "file_id": "for samples of a file, the text of the row in the sampler's id_column",
    "predicted_reward": "the reward that the screening model predicted; empty without screening",
    "predicted_sd": "the standard deviation of the predicted reward",
    "acquisition": "the value by which screening picks molecules",
    "picked_by": "why screening chose the sample for scoring: model, chance or warm_up; empty if it was not chosen",
    "parents": "for children and mutants, the molecules from which the sample was made, separated by spaces",
}
"""The columns of an export and their descriptions, which a Parquet file has as the metadata of its columns."""

# The condition is in an inner SELECT, where it can name columns of the history only.
_HISTORY = """SELECT {columns} FROM (SELECT * FROM sample_history WHERE ({where}\n)) AS history
    LEFT JOIN runs ON runs.run_id = history.run_id
    ORDER BY runs.created NULLS LAST, history.run_id, history.iteration, history.event, history.sampler_order,
        history.chunk, history.build_id, history."row" """
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class ExportReceipt:
    """The result of an export.

    Attributes:
        rows: the number of rows that were written.
        snapshot: the snapshot of the rows.
    """

    rows: int
    snapshot: int


class RowFile(Protocol):
    """A file to which rows are written in batches."""

    def write_batch(self, batch: pa.RecordBatch) -> None: ...


RowWriter = Callable[[Path, pa.Schema], AbstractContextManager[RowFile]]
"""A function (path, schema) that opens a file for rows with the columns of the schema."""


def export_history(
    store: OpenStore,
    out: Path,
    *,
    where: str | None = None,
    snapshot: int | None = None,
    molecules: bool = False,
    writer: RowWriter | None = None,
    memory_limit: str = "1GB",
) -> ExportReceipt:
    """Write the history of a snapshot to a file, which replaces an existing file in one step.

    Args:
        store: the store.
        out: the path of the file, which ends in .parquet or .csv, or in any suffix with a ``writer``.
        where: a predicate over ``sample_history``; None means all rows.
        snapshot: the snapshot of the store; None means the newest.
        molecules: whether to write a row for each molecule and objective, with the values of its components, instead of
            a row for each sample. A molecule is included if a sample of it was kept, has a reward, and fulfils
            ``where``.
        writer: opens a file of a format that the store does not know.
        memory_limit: the memory for reading and sorting, as a size for DuckDB such as "1GB"; larger data go to
            temporary files.

    Raises:
        ValueError: the suffix of the file is not a known format.
        PredicateError: ``where`` is not a predicate over a row.
        UnknownSnapshotError: the store does not have the snapshot.
        OSError: the folder of the file does not exist, or the disk is full or failed.
    """
    opened = writer or _WRITERS.get(out.suffix.lower())
    if opened is None:
        raise ValueError(f"expected a file name that ends in {' or '.join(_WRITERS)}, got {str(out)!r}")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} for the file {out.name}: make it first")
    version = store.snapshot() if snapshot is None else snapshot
    condition = "true" if where is None else check_condition(store.catalog, where, version)
    if molecules:
        components = component_names(store, version)
        sql, columns = bind(all_molecules_sql(components, condition), quote_name), molecule_columns(components)
    else:
        names = ", ".join(f'history."{name}"' for name in EXPORT_COLUMNS)
        sql, columns = _HISTORY.format(columns=names, where=condition), dict(EXPORT_COLUMNS)
    rows = 0
    with replacing(out, sync_paths) as aside, _result(store.catalog, version, sql, condition, memory_limit) as reader:
        schema = _described(reader.schema, columns)
        with opened(aside, schema) as file:
            for batch in reader:
                file.write_batch(batch.rename_columns(schema.names).cast(schema))
                rows += batch.num_rows
    return ExportReceipt(rows, version)


_WRITERS: Mapping[str, RowWriter] = {
    ".parquet": lambda path, schema: pq.ParquetWriter(path, schema, compression="zstd"),
    ".csv": lambda path, schema: pyarrow.csv.CSVWriter(str(path), schema),
}


@contextmanager
def _result(
    catalog: ReadableCatalog, snapshot: int, sql: str, condition: str, memory_limit: str
) -> Iterator[pa.RecordBatchReader]:
    with (
        tempfile.TemporaryDirectory(prefix="molbuffer-export-") as spill,
        sandbox(catalog, snapshot, QueryLimits(memory=memory_limit), spill=Path(spill)) as connection,
    ):
        try:
            yield connection.execute(sql).to_arrow_reader(min(_BATCH_ROWS, catalog.batch_rows))
        except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise PredicateError(f"the condition {condition!r} cannot be applied: {one_line(error)}") from error
        except duckdb.Error as error:
            raise QueryError(f"the history cannot be read: {one_line(error)}") from error


def _described(schema: pa.Schema, columns: Mapping[str, str]) -> pa.Schema:
    """Return the schema of a result with the names and descriptions of the columns."""
    named = zip(schema, columns.items(), strict=True)
    return pa.schema([field.with_name(name).with_metadata({"description": said}) for field, (name, said) in named])
