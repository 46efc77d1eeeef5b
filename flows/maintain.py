"""maintain: keeps a store small and quick, while others use it."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from molbuffer.flows.tasks.maintenance import MaintenanceRequest, maintain_store


@task(name="maintain_store", cache_policy=NO_CACHE)
def maintain_store_task(request: MaintenanceRequest) -> dict[str, Any]:
    """One round of maintenance; returns what was done."""
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
    dry_run: bool = False,
) -> dict[str, Any]:
    """Compacts, expires and vacuums a store, in this order, as far as asked for.

    Args:
        store: the folder of the store.
        expire_older_than: the age from which versions expire, such as ``7d``; by default none does.
        keep: how many of the newest versions stay, whatever their age.
        grace: how old a file must be that the vacuum removes.
        keep_checkpoints: how many checkpoints of an unfinished run stay.
        dry_run: only say what would expire and be removed; nothing is compacted.
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
            dry_run=dry_run,
        )
    )
