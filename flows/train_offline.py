"""train_offline: training from stored samples alone. Nothing is built; only what ``[offline]`` asks for is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads
from molbuffer.storage import ArchiveLimits


@flow(name="train_offline", validate_parameters=False)
def train_offline(
    config: str,
    store: str,
    snapshot: int | None = None,
    where: str | None = None,
    run_id: str | None = None,
    sources: Sequence[str] = (),
    archive_limit_bytes: int = ArchiveLimits.bytes,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a policy, from the configuration's prior, on rows that earlier runs stored under its objective.

    Args:
        config: the path of a TOML file, or the settings as JSON; the ``[offline]`` table has the settings of this
            training.
        store: the folder of the store; the run and the trained policy go there.
        snapshot: the snapshot of the store to read; by default the present one. It cannot be given with ``sources``.
        where: an SQL condition on ``sample_history``; by default that of the configuration.
        run_id: the run to resume; by default a new run, which a retry of this flow run resumes.
        sources: the paths of archives and stores to read the rows from, one after another; the store is then made if
            it does not exist. By default the rows are those of the store.
        archive_limit_bytes: the largest size of an archive, unpacked; a larger one is refused.
        device: the device to learn on; by default that of the configuration.

    Returns:
        The result of the run: ``run_id``, ``store``, ``policy`` (sha256 of the trained policy), ``iterations``,
        ``ended`` (why the run ended before its last step; None if it did not), ``rows`` (the number of stored rows that
        it could read), ``snapshot`` (the snapshot of the first source that it read) and ``report`` (the policy compared
        with its data, as ``OfflineReport``).
    """
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.work import run_offline

    return run_offline(
        config,
        store,
        snapshot=snapshot,
        where=where,
        run_id=run_id,
        sources=sources,
        archive_limit_bytes=archive_limit_bytes,
        device=device,
    )
