"""Finds files that no version of the store names: what killed writers left, and what live ones are at work on."""

from __future__ import annotations

import time
from datetime import timedelta

from storage.catalog import Catalog
from storage.layout import Layout
from storage.places import Place, entries, files_at
from storage.vacuum import GRACE, vacuum
from storage.verify_report import Kind, Notes

_READ = ("builds", "placements", "quarantine", "checkpoints", "run_events")


def check_orphans(catalog: Catalog, layout: Layout, notes: Notes) -> None:
    """Notes what a vacuum would remove if it were old enough, and policies without a row."""
    if notes.readable("which files nothing names", *_READ):
        for found in vacuum(catalog, layout, grace=timedelta(0), dry_run=True).removed:
            _note(layout, f"{found.kind} {found.path}", found.path, found.bytes, notes)
    if notes.readable("which policies nothing names", "policies"):
        # Listed first: one that is named in between is then not in the list.
        there = [path for path in entries(layout.policies) if not path.name.startswith(".")]
        named = set(catalog.read("SELECT DISTINCT sha256 FROM {policies}")["sha256"].to_pylist())
        for path in there:
            if path.name not in named:
                size = sum(file.bytes for file in files_at(path))
                message = f"no row names the policy {path.name} ({size:,} bytes); it can be drawn from all the same"
                notes.information(Kind.ORPHAN, message, path=f"policies/{path.name}", bytes=size)


def _note(layout: Layout, what: str, place: str, size: int, notes: Notes) -> None:
    age = _age(layout.data / place)
    if age is None:
        # Its writer, or a vacuum, has done its work.
        return
    notes.information(
        Kind.ORPHAN,
        f"nothing needs the {what} ({size:,} bytes, {age:,.0f} s old): it was replaced, or its writer was killed or is "
        f"still at work. `molbuffer maintain --vacuum` removes it once it is {GRACE.total_seconds() / 3600:.0f} h old",
        path=place,
        bytes=size,
        age_seconds=age,
    )


def _age(place: Place) -> float | None:
    """The seconds since anything in a file or folder was last written; None when it is gone."""
    found = files_at(place)
    return max(0.0, time.time() - max(file.modified for file in found)) if found else None
