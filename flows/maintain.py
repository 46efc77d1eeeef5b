"""maintain: keep a store small and fast, while others use it."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from molbuffer.flows.tasks import MaintenanceRequest, maintain_store


@task(name="maintain_store", cache_policy=NO_CACHE)
def maintain_store_task(request: MaintenanceRequest) -> dict[str, Any]:
    """Maintain a store once, and return a report of what was done."""
    return maintain_store(request)


@flow(name="maintain", validate_parameters=False)
def maintain(
    store: str,
    compact: bool = True,
    vacuum: bool = True,
    expire_older_than: str | None = None,
    keep: int = 1,
    grace: str = "24h",
    keep_checkpoints: int = 2,
    remove_most: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Compact and expire a store, back its catalog up, and vacuum it, in this order, as far as requested.

    Args:
        store: the folder of the store.
        compact: merge small files.
            vacuum: remove files that nothing refers to.
            expire_older_than: the age from which snapshots expire, such as ``7d``; by default none does.
        keep: the number of newest snapshots that stay, whatever their age.
        grace: the least age of a file that the vacuum removes.
        keep_checkpoints: the number of checkpoints of an unfinished run that stay.
        remove_most: let the vacuum go on when the catalog never named most of the store.
        dry_run: only list what would expire and be removed; nothing is compacted.
    """
    return maintain_store_task(
        MaintenanceRequest(
            store=store,
            compact=compact,
            vacuum=vacuum,
            expire_older_than=expire_older_than,
            keep=keep,
            grace=grace,
            keep_checkpoints=keep_checkpoints,
            remove_most=remove_most,
            dry_run=dry_run,
        )
    )
