"""A prior of another program becomes a policy in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samplers.policies import policy_files
from samplers.reinvent_prior import read_reinvent_prior
from storage import SampleStore
from storage.records import Commit, PolicyVersion


def import_reinvent_prior(file: Path, store: Path) -> dict[str, Any]:
    """Registers the model of a file of REINVENT 4 in a store, which is made when it does not exist.

    The file is read, and refused, before the store is touched. A prior that is there already is left as it is.

    Returns:
        ``policy`` (its sha256 in the store), ``file_sha256``, the kind, the sizes and the tokens of the model, those
        tokens that it can draw but that no SMILES string is read as, and what the file says of its origin.
    """
    prior = read_reinvent_prior(file)
    with SampleStore.open_or_create(store) as opened:
        sha256 = opened.policies.add(policy_files(prior.model, prior.vocabulary))
        version = PolicyVersion(sha256, prior.model.kind, weights_kept=True)
        message = f"prior imported from {file.name}, sha256 {prior.file_sha256}"
        opened.commit(Commit(policies=[version], message=message))
    return {
        "policy": sha256,
        "kind": prior.model.kind,
        "file_sha256": prior.file_sha256,
        **prior.model.architecture(),
        "tokens": list(prior.vocabulary.tokens[3:]),
        "only_drawn": prior.only_drawn,
        **prior.origin,
    }
