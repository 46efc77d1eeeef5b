"""The policy that a run has published last, with the name "run:RUN_ID". The module imports no torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from molbuffer.storage import UnknownPolicyError

if TYPE_CHECKING:
    from molbuffer.storage import SampleStore

OF_RUN = "run:"
"""The prefix of the name of a run's last policy, before the id of the run."""

_VOCABULARY, _STATE = "vocabulary.json", "state.json"
_BEST = """
    SELECT policies.sha256 FROM {policies} AS policies JOIN (
        SELECT run_id, arg_max(value, iteration) AS iteration FROM {metrics}
        WHERE run_id = ? AND name = 'best_iteration' AND build_id IS NULL GROUP BY run_id
    ) AS best ON policies.run_id = best.run_id AND policies.iteration = best.iteration AND policies.weights_kept
    ORDER BY policies.created DESC LIMIT 1"""


def last_policy(store: SampleStore, run_id: str) -> str:
    """Return the sha256 of the policy that a run has published last: that of its newest checkpoint, if it has one.

    For an offline training with held-out rows, it is the policy that was best on these rows.

    Args:
        store: the store of the run.
        run_id: the id of the run, or its first characters.

    Raises:
        UnknownRunError: there is no such run.
        UnknownPolicyError: the run has published no policy, or the store keeps none of them.
    """
    run = store.run(run_id)
    kept = set(store.policies.kept())
    best = store.read_arrow(_BEST, parameters=[run.run_id])["sha256"].to_pylist()
    if best and best[0] in kept:
        return str(best[0])
    checkpoint = store.latest_checkpoint(run.run_id)
    if checkpoint is not None:
        state = json.loads((checkpoint.folder / _STATE).read_text())
        if state.get("policy") in kept:
            return str(state["policy"])
    sql = "SELECT sha256 FROM {policies} WHERE run_id = ? AND weights_kept ORDER BY iteration DESC, created DESC"
    for sha256 in store.read_arrow(sql, parameters=[run.run_id])["sha256"].to_pylist():
        # Latents of samplers are published beside policies, and have no vocabulary.
        if sha256 in kept and (store.policies.folder(sha256) / _VOCABULARY).exists():
            return str(sha256)
    raise UnknownPolicyError(
        f"run {run.run_id} ({run.name}) has published no policy in {store.path}; `molbuffer policies` lists those that "
        "were published"
    )


def policy_of_run(store: SampleStore, name: str, began: str | None = None) -> str:
    """Return the sha256 of the last policy of a run, by its name "run:RUN_ID".

    A resumed run keeps the policy that it began with, even if the named run has published later ones.

    Args:
        store: the store of the run.
        name: the name.
        began: the sha256 of the policy that a resumed run began with; None for a new run.

    Raises:
        UnknownRunError: there is no such run.
        UnknownPolicyError: the run has published no policy, or the store keeps none of them.
    """
    other = store.run(name.removeprefix(OF_RUN)).run_id
    if began is not None and _is_of_run(store, began, other):
        return began
    return last_policy(store, other)


def _is_of_run(store: SampleStore, sha256: str, run_id: str) -> bool:
    sql = "SELECT count(*) AS n FROM {policies} WHERE sha256 = ? AND run_id = ?"
    return bool(store.read_arrow(sql, parameters=[sha256, run_id])["n"][0].as_py())
