"""Which policies share a latent space: vectors of one VAE mean nothing to another, however many numbers they have.

Reinforcement learning moves the decoder in small steps and leaves the encoder as it is, so that a vector keeps the
meaning it had, or nearly; pretraining, also from the weights of another policy, makes a space of its own.
"""

from __future__ import annotations

from collections import defaultdict

from molbuffer.storage import SampleStore
from molbuffer.storage.records import RunKind

_PARENTS = """SELECT DISTINCT policies.sha256, policies.parent_sha256 AS parent
    FROM {policies} AS policies JOIN {runs} AS runs USING (run_id)
    WHERE policies.parent_sha256 IS NOT NULL AND runs.kind <> ?"""


def latent_relatives(store: SampleStore, sha256: str, snapshot: int | None = None) -> frozenset[str]:
    """Return the versions, by sha256, that go back to the same pretrained policy as one does, itself included.

    Args:
        snapshot: the version of the store whose lineage is read; None is the newest.
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
