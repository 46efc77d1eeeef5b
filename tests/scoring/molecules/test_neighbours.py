"""All pairs of similar molecules, against every pair compared one by one with RDKit."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molbuffer.scoring import ScoringConfigurationError, ScoringError
from molbuffer.scoring.molecules.parsing import parse_smiles
from molbuffer.scoring.molecules.similarity import neighbours
from molbuffer.scoring.molecules.similarity.fingerprints import Fingerprint, count_fingerprint, tanimoto
from molbuffer.scoring.molecules.similarity.neighbours import SimilarityBounds, SimilarPairs, similar_pairs

FILE = Path(__file__).parents[2] / "data/molecules.smi"
MOLECULES = [line.split()[0] for line in FILE.read_text().splitlines()]
SIMILAR = ["C" * n for n in range(1, 7)] + ["C" * n + "O" for n in range(1, 9)] + ["OCC", "c1ccccc1", "C1CCCCC1"]


def one_by_one(molecules: list[str], bounds: SimilarityBounds) -> list[tuple[int, int, float]]:
    fingerprints = [count_fingerprint(parse_smiles(text), bounds.fingerprint, bounds.radius) for text in molecules]
    compared = ((i, j, tanimoto(fingerprints[i], fingerprints[j])) for i, j in permutations(range(len(molecules)), 2))
    within = [pair for pair in compared if bounds.minimum <= pair[2] <= bounds.maximum]
    return sorted(within, key=lambda pair: (pair[0], -pair[2], pair[1]))


def listed(pairs: SimilarPairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist(), strict=True))


@given(
    molecules=st.lists(st.sampled_from(MOLECULES + SIMILAR), max_size=25),
    limits=st.tuples(st.sampled_from([0, 0.2, 1 / 3, 0.5, 0.7, 1]), st.sampled_from([0, 0.3, 0.5, 0.95, 1])),
    kind=st.sampled_from(Fingerprint),
    radius=st.integers(0, 3),
    most=st.none() | st.integers(1, 4),
    block=st.sampled_from([1, 40, 10_000]),
    dense=st.sampled_from([0, 0.1, 1]),
)
@settings(max_examples=150, deadline=None)
def test_every_pair_is_found_with_the_similarity_that_rdkit_gives(
    molecules: list[str],
    limits: tuple[float, float],
    kind: Fingerprint,
    radius: int,
    most: int | None,
    block: int,
    dense: float,
) -> None:
    bounds = SimilarityBounds(min(limits), max(limits), fingerprint=kind, radius=radius)
    expected = one_by_one(molecules, bounds)
    if most is not None:
        kept: list[tuple[int, int, float]] = []
        for pair in expected:
            kept += [pair] * (sum(earlier[0] == pair[0] for earlier in kept) < most)
        expected = kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK_CELLS", block)
        patch.setattr(neighbours, "DENSE_SHARE", dense)
        patch.setattr(neighbours, "MOST_PENDING", 3)
        assert listed(similar_pairs(molecules, bounds, most=most)) == expected


def test_both_bounds_belong_to_what_is_accepted() -> None:
    # Environments of radius 0: two methyl groups in both, and a methylene group in the second; 2 of 3 in common.
    pair, between = ["CC", "CCC"], 2 / 3
    for bounds in (SimilarityBounds(between, radius=0), SimilarityBounds(0, between, radius=0)):
        assert listed(similar_pairs(pair, bounds)) == [(0, 1, between), (1, 0, between)]
    above, below = np.nextafter(between, 1), np.nextafter(between, 0)
    assert len(similar_pairs(pair, SimilarityBounds(above, radius=0))) == 0
    assert len(similar_pairs(pair, SimilarityBounds(0, below, radius=0))) == 0


def test_of_each_molecule_the_most_similar_accepted_ones_are_kept() -> None:
    chain = ["C" * n for n in range(3, 12)]
    bounds = SimilarityBounds(0.1)
    longer = similar_pairs(chain, bounds, most=1, accepts=lambda first, second: second > first)
    expected = [pair for pair in one_by_one(chain, bounds) if pair[1] > pair[0]]
    best = {pair[0]: pair for pair in reversed(expected)}
    assert listed(longer) == [best[place] for place in sorted(best)]


def test_how_far_it_is_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 3 * len(SIMILAR))
    told: list[int] = []
    similar_pairs(SIMILAR, SimilarityBounds(0.5), progress=told.append)
    assert told == [3, 6, 9, 12, 15, 17]


def test_what_is_no_molecule_is_named() -> None:
    with pytest.raises(ScoringError, match=r"'CC\(' at index 1"):
        similar_pairs(["CCO", "CC("], SimilarityBounds(0.5))


@pytest.mark.parametrize("limits", [(-0.1, 1), (0.5, 1.1), (0.6, 0.5), (float("nan"), 1)])
def test_bounds_that_nothing_can_be_within_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ScoringConfigurationError, match="0 <= minimum <= maximum <= 1, got"):
        SimilarityBounds(*limits)
