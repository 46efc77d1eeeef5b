"""The command ``verify``: report the defects of a store, and put damaged segments in quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.archive_size import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.common.notes import printable
from molbuffer.flows.cli.common.options import JsonOption
from molbuffer.flows.cli.common.output import as_json, progress_of, write_text
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.storage import Finding, QuarantineReceipt, VerifyReport

MOST_SHOWN = 5
"""The most findings of one kind, other than errors, that are shown one by one; ``--json`` lists all."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer verify --store lab")(verify)


def verify(
    store: Annotated[
        Path,
        typer.Option("--store", metavar="PATH", help="The folder of a store, or an archive: a folder or a tar file."),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Check names, sizes and rows only: decode no array and hash no file.")
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine",
            help="Put damaged segments in quarantine: training leaves out their rows from now on; nothing is deleted.",
        ),
    ] = False,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    json: JsonOption = False,
) -> None:
    """Check a store, which may be in use, as completely as possible.

    The exit code is 1 when there are errors, unless this command has put all of them in quarantine.
    """
    from molbuffer.storage import SampleStore, is_archive, verify_store

    with progress_of("Verifying", 100) as show:
        report = verify_store(
            store,
            quick=quick,
            progress=lambda done, total: show(100 * done // max(1, total)),
            limits=limits(max_size),
        )
    receipt = None
    try:
        if quarantine and report.damaged_segments:
            if store.is_file() or is_archive(store):
                raise _is_archive(store)
            with SampleStore.open(store) as opened:
                receipt = opened.quarantine(report.damaged_segments)
    finally:
        # A check takes long, so its findings are reported even if nothing can be put in quarantine.
        if json:
            write_text(as_json(_json(report, receipt)))
        else:
            write_text(printable("\n".join([*_lines(report), *_quarantine_lines(receipt)])))
    if any(finding.segment is None or receipt is None for finding in report.errors):
        raise typer.Exit(1)


def _is_archive(path: Path) -> UsageError:
    return UsageError(f"{path} is an archive, which cannot be changed: get another copy of it, or make it again")


def _json(report: VerifyReport, receipt: QuarantineReceipt | None) -> dict[str, object]:
    from dataclasses import asdict

    return report.to_json() | {"errors": len(report.errors), "quarantined": asdict(receipt) if receipt else None}


def _lines(report: VerifyReport) -> list[str]:
    """Return the report as lines of text."""
    lines: list[str] = []
    for (severity, kind), group in _grouped(report.findings).items():
        shown = group if severity == "error" else group[:MOST_SHOWN]
        lines += [f"{severity}: {finding.message}" for finding in shown]
        if rest := group[len(shown) :]:
            taken = sum(finding.bytes or 0 for finding in rest)
            size = f" ({taken:,} bytes)" if taken else ""
            lines.append(f"{severity}: {len(rest)} more of the kind {kind}{size}; --json lists them")
    lines += [f"not checked: {what}" for what in report.unchecked]
    lines.append("checked: " + ", ".join(f"{count:,} {what}" for what, count in report.checked.items()))
    version = "no snapshot" if report.snapshot is None else f"snapshot {report.snapshot}"
    verdict = f"{len(report.errors)} error{'s' if len(report.errors) > 1 else ''}" if report.errors else "no error"
    return [*lines, f"{version}: {verdict}"]


def _grouped(findings: Sequence[Finding]) -> dict[tuple[str, str], list[Finding]]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity.value, finding.kind.value), []).append(finding)
    return groups


def _quarantine_lines(receipt: QuarantineReceipt | None) -> list[str]:
    if receipt is None:
        return []
    segments = ", ".join(receipt.segments)
    return [
        f"quarantined: {segments}; training leaves out {receipt.rows} rows from now on, and nothing was deleted",
        *(f"  build {build.build_id}: {build.kept} of its {build.drawn} rows" for build in receipt.builds),
    ]
