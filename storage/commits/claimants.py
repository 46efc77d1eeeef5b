"""The names by which scorers claim molecules; they name the process, so that no scorer waits for an ended process."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from molbuffer.storage.backends import ScoreClaims
from molbuffer.storage.commits.processes import Process


def new_claimant() -> str:
    """Return a unique name for the claims of one scorer of this process."""
    process = Process.current()
    return f"{process.host}:{process.pid}:{uuid4().hex} {process.to_json()}"


def release_ended(claims: ScoreClaims, component: str, version: str, smiles: Sequence[str]) -> None:
    """Give back the claims on molecules of scorers whose process is known to have ended.

    A claim is given back under the owner's name with which it was found, so that a newer claim of another scorer stays.
    Claims of other machines, and claims with names that ``new_claimant`` did not make, stay until they expire.
    """
    left: dict[str, list[str]] = {}
    for molecule, holder in claims.holders(component, version, smiles).items():
        left.setdefault(holder.owner, []).append(molecule)
    for owner, molecules in left.items():
        process = Process.parse(owner.partition(" ")[2])
        if process is not None and process.gone:
            claims.release(component, version, molecules, owner)
