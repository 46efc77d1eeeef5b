from itertools import product

import numpy as np
import pytest

from molbuffer.scoring import canonical_smiles, parse_smiles
from molbuffer.scoring.surrogates.count_levels import level_bits, similarities
from molbuffer.scoring.surrogates.one_thread import one_thread

LEFT = ("C", "CC", "FC(F)(F)", "COC", "NS(=O)(=O)", "N#C", "CC(=O)N", "Cl", "CN(C)", "OC(=O)")
MIDDLE = ("c1ccc(cc1)", "c1ccnc(c1)", "C1CCN(CC1)", "c1cc(nn1C)", "c1ccc2cc(ccc2c1)", "c1csc(n1)")
RIGHT = ("c1ccccc1", "n1ccc(C(F)(F)F)n1", "c1ccc(S(N)(=O)=O)cc1", "C1CCCCC1", "N1CCOCC1", "c1ccccc1C", "C(=O)NC", "CCO",
         "OCC", "c1cc[nH]n1", "C1CC1", "SC", "c1ccncc1", "NC(=O)C", "CC#N")  # fmt: skip


@pytest.fixture(scope="session")
def library() -> list[str]:
    """900 different molecules, of three parts each, in an order that says nothing of them."""
    found = []
    for parts in product(LEFT, MIDDLE, RIGHT):
        molecule = parse_smiles("".join(parts))
        assert molecule is not None, parts
        found.append(canonical_smiles(molecule))
    step = 7 * 11 * 13  # which has no factor in common with their number
    shuffled = [found[place * step % len(found)] for place in range(len(found))]
    assert len(set(shuffled)) == 900
    return shuffled


@pytest.fixture(scope="session")
def functions(library: list[str]) -> np.ndarray:
    """Four functions of the library, [4, 900], drawn from the prior of the Gaussian process."""
    bits = level_bits(library, radius=2)
    with one_thread():
        factor = np.linalg.cholesky(similarities(bits, bits) + 1e-9 * np.eye(len(library)))
        return (factor @ np.random.default_rng(0).standard_normal((len(library), 4))).T
