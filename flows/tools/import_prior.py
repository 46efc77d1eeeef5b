"""Import priors of other programs as policies."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from molbuffer.lab import described_run
from molbuffer.samplers import ReinventPrior, policy_files, read_reinvent_prior
from molbuffer.storage import Commit, PolicyVersion, Run, RunKind, SampleStore


def import_reinvent_prior(file: Path, store: Path) -> dict[str, Any]:
    """Register the model of a file of REINVENT 4 in a store, which is made if it does not exist.

    The file is read, and possibly refused, before the store is opened. A prior that the store has already is not
    changed.

    Returns:
        ``policy`` (its sha256 in the store), ``run_id``, ``file_sha256``, the kind, the sizes and the tokens of the
        model; ``only_drawn``, the tokens that the model can draw but that no SMILES string is split into; and the
        entries of the file about its origin.
    """
    prior = read_reinvent_prior(file)
    run = _run(file, prior)
    with SampleStore.open_or_create(store) as opened, opened.recorded_run(run):
        sha256 = opened.policies.add(policy_files(prior.model, prior.vocabulary))
        version = PolicyVersion(sha256, prior.model.kind, run_id=run.run_id, weights_kept=True)
        message = f"prior imported from {file.name}, sha256 {prior.file_sha256}"
        opened.commit(Commit(policies=[version], message=message))
    return {
        "policy": sha256,
        "run_id": run.run_id,
        "kind": prior.model.kind,
        "file_sha256": prior.file_sha256,
        **prior.model.architecture(),
        "tokens": list(prior.vocabulary.tokens[3:]),
        "only_drawn": prior.only_drawn,
        **prior.origin,
    }


def _run(file: Path, prior: ReinventPrior) -> Run:
    """Return the record of the import as a run, with the name and the sha256 of the file."""
    config = {"file": file.name, "file_sha256": prior.file_sha256, "origin": dict(prior.origin)}
    return described_run(uuid.uuid4().hex, file.name, RunKind.IMPORT, json.dumps(config, sort_keys=True), seed=0)
