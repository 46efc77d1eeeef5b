"""Finds files that no version of the store names: what killed writers left, and what live ones are at work on."""

from __future__ import annotations

import time
from datetime import timedelta

from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.files.places import entries, files_at
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.vacuum import GRACE, Removed, vacuum
from molbuffer.storage.verify.report import Kind, Notes

_READ = ("builds", "placements", "quarantine", "checkpoints", "run_events")


def check_orphans(catalog: Catalog, layout: Layout, notes: Notes) -> None:
    """Notes what a vacuum would remove if it were old enough, and policies without a row."""
    if notes.readable("which files nothing names", *_READ):
        for found in vacuum(catalog, layout, grace=timedelta(0), dry_run=True).removed:
            _note(found, notes)
    if notes.readable("which policies nothing names", "policies"):
        # Listed first: one that is named in between is then not in the list.
        there = [path for path in entries(layout.policies) if not path.name.startswith(".")]
        named = set(catalog.read("SELECT DISTINCT sha256 FROM {policies}")["sha256"].to_pylist())
        for path in there:
            if path.name not in named:
                size = sum(file.bytes for file in files_at(path))
                message = f"no row names the policy {path.name} ({size:,} bytes); it can be drawn from all the same"
                notes.information(Kind.ORPHAN, message, path=f"policies/{path.name}", bytes=size)


def _note(found: Removed, notes: Notes) -> None:
    if found.modified is None:
        # Its writer, or a vacuum, has done its work.
        return
    age = max(0.0, time.time() - found.modified)
    notes.information(
        Kind.ORPHAN,
        f"nothing needs the {found.kind} {found.path} ({found.bytes:,} bytes, {age:,.0f} s old): it was replaced, or "
        "its writer was killed or is still at work. `molbuffer maintain --vacuum` removes it once it is "
        f"{GRACE.total_seconds() / 3600:.0f} h old",
        path=found.path,
        bytes=found.bytes,
        age_seconds=age,
    )
