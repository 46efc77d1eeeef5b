"""The diversity of molecules: scaffolds, internal diversity, and the nearest molecules of a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molbuffer.pages.facts.sample import MoleculeSample
from molbuffer.scoring import diversity_of, parse_small, scaffold_of

MOST_CLUSTERS = 12
MOST_COMPARED = 500
"""The most molecules whose pairs are compared: 125,000 pairs, in a tenth of a second."""
MOST_REFERENCES = 20_000
RADIUS, BITS = 2, 2048


@dataclass(frozen=True)
class Cluster:
    """The molecules of a sample that share a Bemis-Murcko scaffold.

    Attributes:
        scaffold: the SMILES of the scaffold, without stereochemistry; empty for molecules without a ring.
        molecules: the number of molecules of the sample with this scaffold.
        best: the molecule with the best reward.
        reward: the best reward.
    """

    scaffold: str
    molecules: int
    best: str
    reward: float


@dataclass(frozen=True)
class DiversityFacts:
    """The diversity of a sample of molecules.

    Attributes:
        scaffolds: the number of different scaffolds of the sample.
        singletons: the number of scaffolds of exactly one molecule of the sample.
        internal: the mean of 1 − Tanimoto similarity over the pairs of at most 500 of the molecules; None for fewer
            than two.
        curve: at most 200 rows with ``molecules``, a number n, and ``scaffolds``, the number of different scaffolds
            among the first n molecules drawn.
        clusters: the largest clusters, the largest first.
    """

    scaffolds: int
    singletons: int
    internal: float | None
    curve: pl.DataFrame = field(repr=False)
    clusters: tuple[Cluster, ...] = field(repr=False)


def diversity(sample: MoleculeSample) -> DiversityFacts:
    """Return the diversity of a sample; strings that RDKit cannot read are left out."""
    smiles, rewards = sample.molecules["smiles"].to_list(), sample.molecules["reward"].to_list()
    members: dict[str, list[int]] = {}
    counts: list[int] = []
    readable: list[int] = []
    for at, text in enumerate(smiles):
        if (molecule := parse_small(text)) is None:
            continue
        members.setdefault(scaffold_of(molecule), []).append(at)
        readable.append(at)
        counts.append(len(members))
    rows = sorted({round(n) for n in np.linspace(1, len(counts), min(200, len(counts)))}) if counts else []
    curve = pl.DataFrame(
        {"molecules": rows, "scaffolds": [counts[n - 1] for n in rows]},
        schema={"molecules": pl.Int64, "scaffolds": pl.Int64},
    )
    largest = sorted(members.items(), key=lambda each: (-len(each[1]), each[0]))[:MOST_CLUSTERS]
    step = max(1, -(-len(readable) // MOST_COMPARED))
    return DiversityFacts(
        scaffolds=len(members),
        singletons=sum(len(each) == 1 for each in members.values()),
        internal=diversity_of([smiles[at] for at in readable[::step]]).internal,
        curve=curve,
        clusters=tuple(_cluster(scaffold, each, smiles, rewards) for scaffold, each in largest),
    )


def _cluster(scaffold: str, members: Sequence[int], smiles: Sequence[str], rewards: Sequence[float]) -> Cluster:
    best = max(members, key=lambda at: rewards[at])
    return Cluster(scaffold, len(members), smiles[best], rewards[best])


@dataclass(frozen=True)
class Neighbour:
    """The molecule of a reference that is most similar to another molecule.

    Attributes:
        smiles: the SMILES of the molecule.
        nearest: the SMILES of the molecule of the reference.
        similarity: the Tanimoto similarity of their Morgan fingerprints (radius 2, 2,048 bits), in [0, 1].
    """

    smiles: str
    nearest: str
    similarity: float


def nearest_of(smiles: Sequence[str], reference: Sequence[str]) -> list[Neighbour]:
    """Return the nearest molecule of a reference for each of some molecules, in their order.

    Of a reference with more than 20,000 molecules, every n-th is compared. Strings that RDKit cannot read are left
    out.
    """
    step = max(1, -(-len(reference) // MOST_REFERENCES))
    known = [(text, parse_small(text)) for text in reference[::step]]
    texts = [text for text, molecule in known if molecule is not None]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    prints = [generator.GetFingerprint(molecule) for _, molecule in known if molecule is not None]
    found = []
    for text in smiles:
        molecule: Chem.Mol | None = parse_small(text)
        if molecule is None or not prints:
            continue
        similarities = np.array(DataStructs.BulkTanimotoSimilarity(generator.GetFingerprint(molecule), prints))
        at = int(similarities.argmax())
        found.append(Neighbour(text, texts[at], float(similarities[at])))
    return found
