"""Maintenance of a store, for the command and for the deployment."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from molbuffer.flows.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d+)([smhdw])")


@dataclass(frozen=True)
class MaintenanceRequest:
    """The maintenance to do on a store.

    Attributes:
        store: the folder of the store.
        compact: merge small files.
        vacuum: remove files that nothing refers to.
        expire_older_than: the age from which snapshots expire; None keeps all.
        keep: the number of newest snapshots that stay, whatever their age.
        grace: the least age of a file that the vacuum removes.
        keep_checkpoints: the number of checkpoints of an unfinished run that stay.
        remove_most: let the vacuum go on when the catalog never named most of the store.
        dry_run: only list what would expire and be removed; nothing is compacted.
    """

    store: str
    compact: bool = True
    vacuum: bool = True
    expire_older_than: str | None = None
    keep: int = 1
    grace: str = "24h"
    keep_checkpoints: int = 2
    remove_most: bool = False
    dry_run: bool = False


def parse_age(text: str) -> timedelta:
    """Parse an age such as 45s, 30m, 24h, 7d or 2w.

    Raises:
        UsageError: the text is no age.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"expected an age such as 30m, 24h, 7d or 2w, got {text!r}")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise UsageError(f"expected an age of at most {timedelta.max.days}d, got {text!r}") from error


def maintain_store(request: MaintenanceRequest) -> dict[str, Any]:
    """Compact and expire a store, back its catalog up, and vacuum it, in this order, as far as requested.

    Returns:
        ``store``, ``dry_run``, and the results of ``compact``, ``expire``, ``backup`` and ``vacuum`` as JSON values;
        None for a step that was not done.

    Raises:
        UsageError: a text is no age, or a dry run has nothing to list.
        StoreError: the store cannot be read or written, or another process maintains it.
    """
    from molbuffer.storage import SampleStore

    older_than = None if request.expire_older_than is None else parse_age(request.expire_older_than)
    grace = parse_age(request.grace)
    if request.dry_run and not request.vacuum and older_than is None:
        raise UsageError("a dry run lists what expires and what a vacuum removes: add vacuum or expire_older_than")
    done: dict[str, Any] = {"store": request.store, "dry_run": request.dry_run}
    done |= {"compact": None, "expire": None, "backup": None, "vacuum": None}
    with SampleStore.open(Path(request.store)) as store:
        work = store.maintenance
        if request.compact and not request.dry_run:
            done["compact"] = asdict(work.compact())
        if older_than is not None:
            done["expire"] = asdict(
                work.expire(
                    older_than, keep=request.keep, keep_checkpoints=request.keep_checkpoints, dry_run=request.dry_run
                )
            )
        if not request.dry_run and (backup := work.back_up()) is not None:
            done["backup"] = str(backup)
        if request.vacuum:
            report = work.vacuum(
                grace=grace,
                keep_checkpoints=request.keep_checkpoints,
                remove_most=request.remove_most,
                dry_run=request.dry_run,
            )
            done["vacuum"] = asdict(report) | {"bytes": report.bytes}
    return done
