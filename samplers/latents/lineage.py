"""The policies that share a latent space: the vectors of one VAE have no meaning for another, even if sizes agree.

Reinforcement learning changes the decoder in small steps and does not change the encoder, so that a vector nearly keeps
its meaning. Pretraining, also from the weights of another policy, makes a new latent space.
"""

from __future__ import annotations

from collections import defaultdict

from molbuffer.storage import RunKind, SampleStore

_PARENTS = """SELECT DISTINCT policies.sha256, policies.parent_sha256 AS parent
    FROM {policies} AS policies JOIN {runs} AS runs USING (run_id)
    WHERE policies.parent_sha256 IS NOT NULL AND runs.kind <> ?"""


def latent_relatives(store: SampleStore, sha256: str, snapshot: int | None = None) -> frozenset[str]:
    """Return the sha256 of all policies that descend from the same pretrained policy as the given one, itself included.

    Args:
        store: the store of the lineage.
        sha256: the sha256 of the given policy.
        snapshot: the snapshot whose lineage is read; None for the newest.
    """
    rows = store.read_arrow(_PARENTS, snapshot=snapshot, parameters=[RunKind.PRETRAIN.value]).to_pylist()
    relatives: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        relatives[row["sha256"]].append(row["parent"])
        relatives[row["parent"]].append(row["sha256"])
    found, reached = {sha256}, [sha256]
    while reached:
        for other in relatives[reached.pop()]:
            if other not in found:
                found.add(other)
                reached.append(other)
    return frozenset(found)
