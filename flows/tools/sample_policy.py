"""Draw molecules from a policy, outside a campaign."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import polars as pl

from molbuffer.lab import draw_molecules
from molbuffer.samplers import Policy, find_device, find_policy, load_policy
from molbuffer.samplers.models import Sampling
from molbuffer.storage import SampleStore


def named_policy(policy: str, store: Path | None = None, device: str = "cpu") -> Policy:
    """Load a policy by its name, in the forms of ``find_policy``; ``store`` is only read."""
    on = find_device(device)
    with ExitStack() as opened:
        looked_in = None if store is None else opened.enter_context(SampleStore.open(store, read_only=True))
        return load_policy(find_policy(policy, looked_in), on)


def draw(
    policy: str, n: int, sampling: Sampling, seed: int, store: Path | None = None, device: str = "cpu"
) -> pl.DataFrame:
    """Draw n rows from a policy.

    Args:
        policy: a bundled name, a folder, (the start of) a sha256 in ``store``, or "run:RUN_ID" of a run there.
        n: the number of rows.
        sampling: temperature and truncation.
        seed: the same seed gives the same rows.
        store: the folder of the store that a sha256 is looked up in.
        device: the name of the device to draw on.

    Returns:
        ``smiles`` as drawn; ``molecule``, the canonical SMILES, null where the string is no molecule;
        ``log_likelihood`` in nats, under the distribution drawn from.
    """
    return draw_molecules(named_policy(policy, store, device), n, sampling, seed)


def quality(drawn: pl.DataFrame) -> str:
    """Return the numbers of rows, of molecules and of different molecules, in one line."""
    molecules = drawn["molecule"].drop_nulls()
    return f"{len(drawn)} drawn, {len(molecules)} of them molecules, {molecules.n_unique()} different"
