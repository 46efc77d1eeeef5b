"""``molbuffer export --as KIND``: write data sets that other programs load."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from molbuffer.flows.cli.common.output import progress_of
from molbuffer.flows.cli.stores.query import known_objective
from molbuffer.flows.errors import UsageError

KINDS = ("minari", "huggingface")


def export_as(
    kind: str,
    store: Path,
    out: Path,
    where: str | None,
    snapshot: int | None,
    *,
    objective: str | None,
    license: str | None,  # noqa: A002 (it is what the card has)
) -> dict[str, Any]:
    """Write a data set, and return a summary of what was written.

    Args:
        kind: the kind of data set, one of ``KINDS``.
        store: the folder of the store.
        out: a new folder.
        where: an SQL condition on ``sample_history``.
        snapshot: the snapshot; None is the newest.
        objective: the name of the objective, for Minari.
        license: the licence of the data, for Hugging Face.

    Raises:
        UsageError: the kind is unknown, or does not take a given option.
    """
    if kind not in KINDS:
        raise UsageError(f"expected --as to be one of {', '.join(KINDS)}, got {kind!r}")
    if (license if kind == "minari" else objective) is not None:
        raise UsageError(f"{'--license' if kind == 'minari' else '--objective'} does not apply to --as {kind}")
    from molbuffer.exchange import export_huggingface, export_minari
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        if kind == "huggingface":
            return _plain(export_huggingface(opened, out, where=where, snapshot=snapshot, license=license))
        named = None if objective is None else known_objective(opened, objective)
        with progress_of("writing", None) as report:
            written = export_minari(
                opened,
                out,
                objective_sha256=named,
                where=where,
                snapshot=snapshot,
                progress=lambda done, total: report(done),
            )
        return _plain(written)


def _plain(written: Any) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(written).items()}
