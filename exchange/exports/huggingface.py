"""A data set as Hugging Face's ``datasets`` loads it: Parquet files in shards, and a card that describes them.

OUT/
  README.md                                   the card: the contents of the data set, its licence, its columns and runs
  molecules/train-00000-of-00002.parquet      each kept molecule once for each objective, the best first
  samples/train-00000-of-00009.parquet        each drawn sample, as ``molbuffer export`` writes it
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from molbuffer.exchange.errors import ExportError
from molbuffer.exchange.exports.folder import new_folder
from molbuffer.storage import SampleStore

SHARD_ROWS = 500_000
"""The most rows of a file."""
TAGS = ("chemistry", "molecules", "drug-discovery", "reinforcement-learning", "molbuffer")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_ABOUT = {
    "molecules": "Each kept molecule, once for each objective that it has a reward under, with the raw and the "
    "transformed value of every component; the best first.",
    "samples": "Each drawn sample, rejected ones included, in the order of the draws, with its provenance.",
}
_RUNS = """
    SELECT runs.name, runs.kind, runs.run_id, runs.created, runs.code_version, runs.objective_sha256
    FROM {runs} AS runs ORDER BY runs.created, runs.run_id"""
_OBJECTIVES = """
    SELECT objective_sha256, position, component, weight, transform, aggregation FROM {objective_components}
    ORDER BY objective_sha256, position"""


@dataclass(frozen=True)
class HuggingFaceExport:
    """The result of an export to Hugging Face.

    Attributes:
        path: the folder of the data set.
        rows: the number of rows of each part, by its name: ``molecules``, ``samples``.
        snapshot: the snapshot of the store that was exported.
    """

    path: Path
    rows: Mapping[str, int]
    snapshot: int


def export_huggingface(
    store: SampleStore,
    out: Path,
    *,
    where: str | None = None,
    snapshot: int | None = None,
    license: str | None = None,  # noqa: A002 (it is the key of the card)
) -> HuggingFaceExport:
    """Write the history of a store as a data set for Hugging Face's ``datasets``.

    Args:
        store: the store.
        out: a new folder; ``datasets.load_dataset(str(out))`` loads its molecules.
        where: an SQL condition on ``sample_history``.
        snapshot: the snapshot; None is the newest.
        license: the licence of the data, as an identifier such as cc-by-4.0; None states none.

    Raises:
        ExportError: ``out`` exists, or no row is to be exported.
        PredicateError: ``where`` is not a predicate over a row.
    """
    version = store.snapshot() if snapshot is None else snapshot
    with new_folder(out) as folder:
        parts = {}
        for name, molecules in (("molecules", True), ("samples", False)):
            whole = folder / f"{name}.parquet"
            rows = store.export(whole, where=where, snapshot=version, molecules=molecules).rows
            if rows:
                parts[name] = (rows, _split(whole, folder / name))
            whole.unlink(missing_ok=True)
        if not parts:
            none = f"{store.path} has no rows yet" if where is None else f"no row of {store.path} fulfils {where}"
            raise ExportError(f"{none}: there is nothing to export")
        card = "\n".join(_card(store=store, snapshot=version, where=where, license=license, name=out.name, parts=parts))
        (folder / "README.md").write_text(card + "\n", encoding="utf-8")
    return HuggingFaceExport(out, {name: rows for name, (rows, _) in parts.items()}, version)


def _split(whole: Path, folder: Path) -> pa.Schema:
    """Move a Parquet file into a folder, in shards if it is large; return its schema."""
    folder.mkdir()
    with pq.ParquetFile(whole) as file:
        schema, number = file.schema_arrow, max(1, -(-file.metadata.num_rows // SHARD_ROWS))
        if number > 1:
            size = -(-file.metadata.num_rows // number)
            for at, batch in enumerate(_batches(file, size)):
                pq.write_table(batch, folder / _shard(at, number), compression="zstd")
    if number == 1:
        whole.rename(folder / _shard(0, 1))
    return schema


def _batches(file: pq.ParquetFile, size: int) -> Iterator[pa.Table]:
    """Yield the rows of a file in tables of one size, the last of which may be smaller."""
    waiting, rows = list[pa.RecordBatch](), 0
    for batch in file.iter_batches(min(size, 50_000)):
        while rows + batch.num_rows >= size:
            taken = size - rows
            yield pa.Table.from_batches([*waiting, batch.slice(0, taken)])
            batch, waiting, rows = batch.slice(taken), [], 0
        if batch.num_rows:
            waiting, rows = [*waiting, batch], rows + batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def _shard(at: int, number: int) -> str:
    return f"train-{at:05}-of-{number:05}.parquet"


def _card(
    *,
    store: SampleStore,
    snapshot: int,
    where: str | None,
    license: str | None,  # noqa: A002
    name: str,
    parts: Mapping[str, tuple[int, pa.Schema]],
) -> Iterator[str]:
    """Yield the lines of the card: its metadata in YAML, and its text. Values are in JSON, which YAML includes."""
    rows = max(rows for rows, _ in parts.values())
    yield from ("---", f"pretty_name: {json.dumps(name)}")
    if license is not None:
        yield f"license: {json.dumps(license)}"
    yield f"tags: {json.dumps(list(TAGS))}"
    yield f"size_categories: [{json.dumps(next((size for most, size in _SIZES if rows < most), 'n>1M'))}]"
    yield "configs:"
    for number, part in enumerate(parts):
        yield f"- config_name: {part}"
        yield f"  data_files: {part}/*.parquet"
        yield from ["  default: true"] if number == 0 else []
    yield from ("---", "", f"# {name}", "")
    condition = "" if where is None else f", of the rows that fulfil `{where}`"
    yield f"Molecules that runs of molbuffer have drawn and scored: store {store.uuid}, snapshot {snapshot}{condition}."
    yield from ("", "```python", "from datasets import load_dataset", "")
    yield from (f'{part} = load_dataset("{name}", "{part}")["train"]' for part in parts)
    yield from ("```", "")
    yield f"Licence: {license}." if license else "No licence was stated at the export: ask the author of the data set."
    for part, (count, schema) in parts.items():
        yield from (
            "",
            f"## {part}",
            "",
            f"{count} rows. {_ABOUT[part]}",
            "",
            "| column | type | |",
            "| --- | --- | --- |",
        )
        yield from (f"| `{_cell(field.name)}` | {field.type} | {_cell(_described(field))} |" for field in schema)
    yield from _provenance(store, snapshot)


def _provenance(store: SampleStore, snapshot: int) -> Iterator[str]:
    yield from ("", "## Runs of the store", "", "| run | kind | id | started (UTC) | code | objective |")
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in store.read_arrow(_RUNS, snapshot=snapshot).to_pylist():
        cells = [row["name"], row["kind"], row["run_id"], f"{row['created']:%Y-%m-%d %H:%M}", row["code_version"]]
        yield f"| {' | '.join(_cell(str(each)) for each in [*cells, (row['objective_sha256'] or '')[:12]])} |"
    objectives = store.read_arrow(_OBJECTIVES, snapshot=snapshot).to_pylist()
    if objectives:
        yield from ("", "## Objectives", "", "| objective | aggregation | component | weight | transform |")
        yield "| --- | --- | --- | --- | --- |"
    for row in objectives:
        cells = [row["objective_sha256"][:12], row["aggregation"], row["component"], row["weight"], row["transform"]]
        yield f"| {' | '.join(_cell(str(each)) for each in cells)} |"


def _described(field: pa.Field) -> str:
    text: bytes = (field.metadata or {}).get(b"description", b"")
    return text.decode()


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table: pipes, tags and line breaks cannot break the table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ").replace("\r", " ")
