"""Children of molecules: sane, new, the same for one seed, and of the shares that are asked for."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molbuffer.samplers.tokens.changes import TokenChanges
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import ScoringConfigurationError
from molbuffer.scoring.genetic import fragments, offspring
from molbuffer.scoring.genetic.breeding import WAYS, Breeding
from molbuffer.scoring.genetic.offspring import children
from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles

FILE = Path(__file__).parents[2] / "data/molecules.smi"
MOLECULES = [canonical_smiles(parse_smiles(line.split()[0])) for line in FILE.read_text().splitlines()]
ODD = [
    "C[N+](C)(C)CC(=O)[O-]",
    "[2H]C([2H])([2H])OCC",
    "C[Si](C)(C)CCO",
    "C[Hg]CC",
    "C1CCCCCCCCCCCCCC1C",
    "C[C@H](N)C(=O)NC[C@@](C)(F)Cl",
    "F/C=C/CC",
    "C[S@+]([O-])c1ccccc1",
    "O=C1C=CC(=O)C=C1CN",
    "CC#CC",
    "*CCO",
]
HOSTILE = ["C", "", "[Na+]", "C" * 200, "CCO.CC", "**", "C[CH2]", "no molecule", "C((", "C)C", "[H][H]", "C~C", "C1CC"]
ALL = [canonical_smiles(parse_smiles(text)) for text in ODD] + MOLECULES
ONLY = {way: Breeding(**{each: float(each == way) for each in WAYS}) for way in WAYS}
TOKENS = TokenChanges(Vocabulary.from_smiles(line.split()[0] for line in FILE.read_text().splitlines()))


def bred(parents: list[str], n: int, seed: int = 0, breeding: Breeding = Breeding()) -> list[str]:
    weights = np.full(len(parents), 1 / max(len(parents), 1))
    return list(children(parents, weights, n, np.random.default_rng(seed), breeding, TOKENS))


def ring_sizes(smiles: str) -> list[int]:
    molecule = parse_smiles(smiles)
    return [len(ring) for ring in molecule.GetRingInfo().AtomRings()]


@pytest.mark.parametrize("way", WAYS)
def test_children_of_each_way_are_sane_molecules(way: str) -> None:
    parents = [*HOSTILE, *ALL, *ALL[: len(ODD)] * 10]
    found = bred(parents, 600, breeding=ONLY[way])
    assert len(found) == len(set(found)) == 600
    assert not set(found) & set(parents)
    largest = max(size for text in ALL for size in ring_sizes(text))
    for text in found:
        molecule = parse_smiles(text)
        assert canonical_smiles(molecule) == text
        assert "." not in text
        assert 0 < molecule.GetNumHeavyAtoms() <= 50
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        assert max(ring_sizes(text), default=0) <= largest
        assert way == "fragment_crossover" or not molecule.HasSubstructMatch(Chem.MolFromSmarts("[R]=[R]=[R]"))


def test_parents_without_children_end_the_search() -> None:
    assert bred([], 5) == []
    assert bred(["", "CC.CC", "C" * 200, "no molecule", "C(("], 5) == []
    assert bred(["[Fe]"], 5, breeding=Breeding(most_atoms=1, token_change=0)) == []


def test_children_of_radicals_are_none() -> None:
    found = bred(["C[CH]CO", "CC[O]"], 10)
    assert found
    assert not any(atom.GetNumRadicalElectrons() for text in found for atom in parse_smiles(text).GetAtoms())


def test_the_same_children_for_one_seed_whatever_was_remembered() -> None:
    remembered = bred(MOLECULES, 60, 3)
    assert remembered == bred(MOLECULES, 60, 3) != bred(MOLECULES, 60, 4)
    fragments.cuttable.cache_clear()
    offspring.kekule.cache_clear()
    assert bred(MOLECULES, 60, 3) == remembered


def test_ways_have_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()

    def counted(way):
        def make(nursery):
            child, parents = way(nursery)
            made[way.__name__] += child is not None
            return child, parents

        return make

    monkeypatch.setattr(offspring, "_WAYS", tuple(map(counted, offspring._WAYS)))
    breeding = Breeding(fragment_crossover=2, token_change=0, ring_crossover=1, graph_mutation=1)
    bred(MOLECULES, 400, breeding=breeding)
    assert made["_by_tokens"] == 0
    assert made["_by_fragments"] / made.total() == pytest.approx(0.5, abs=0.08)
    assert made["_by_rings"] / made.total() == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("way", WAYS)
def test_children_name_their_parents(way: str) -> None:
    # Each has an atom that no other has, and nothing makes another one.
    marked = ["[SiH3]CCCCC1CCC1", "[AsH2]CCCCC1CCC1", "[SeH]CCCCC1CCC1"]
    weights = np.full(3, 1 / 3)
    found = children(marked, weights, 30, np.random.default_rng(0), ONLY[way], TOKENS)
    assert found
    for child, parents in found.items():
        assert len(parents) == (2 if "crossover" in way else 1) and set(parents) <= set(marked)
        assert {mark for mark in ("Si", "As", "Se") if mark in child} <= {
            mark for mark in ("Si", "As", "Se") if any(mark in parent for parent in parents)
        }


def test_likely_parents_have_more_children() -> None:
    weights = np.array([0.9, 0.1])
    found = children(["FCCCCCCF", "ClCCCCCCCl"], weights, 60, np.random.default_rng(0), ONLY["graph_mutation"])
    assert sum("F" in text for text in found) > 2 * sum("Cl" in text for text in found)


def test_children_stay_within_the_bound_of_atoms() -> None:
    found = bred(MOLECULES[:30], 30, breeding=Breeding(most_atoms=15))
    assert found
    assert max(parse_smiles(child).GetNumHeavyAtoms() for child in found) <= 15


def test_large_rings_come_from_parents_only() -> None:
    macrocycle = ALL[ODD.index("C1CCCCCCCCCCCCCC1C")]
    found = bred([macrocycle, "CCO"], 20, breeding=ONLY["graph_mutation"])
    assert any(size > 8 for text in found for size in ring_sizes(text))
    opened = bred(["C1CCC2CCCC2C1"], 40, breeding=ONLY["graph_mutation"])
    assert max(size for text in opened for size in ring_sizes(text)) <= 8


def test_children_of_two_parents_are_mutated_as_well() -> None:
    parents = ["CCCC", "CCCCCC"]
    assert all(set(text) == {"C"} for text in bred(parents, 5, breeding=ONLY["fragment_crossover"]))
    mutated = Breeding(1, 0, 0, 0, mutation_rate=1.0)
    assert any(set(text) != {"C"} for text in bred(parents, 30, breeding=mutated))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mutation_rate": -0.1},
        {"most_atoms": 0},
        {"fragment_crossover": -1.0},
        {"token_change": float("nan")},
        {"largest_ring": 2},
        dict.fromkeys(WAYS, 0.0),
    ],
)
def test_settings_that_breed_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ScoringConfigurationError, match=next(iter(wrong))):
        Breeding(**wrong)


def test_token_changes_alone_need_something_that_makes_them() -> None:
    with pytest.raises(ScoringConfigurationError, match="change_tokens"):
        children(["CCO"], np.ones(1), 1, np.random.default_rng(0), ONLY["token_change"])


def test_crossover_reaches_what_changes_of_single_molecules_do_not() -> None:
    """Three groups are in one molecule each, and wanted in one."""
    wanted = [Chem.MolFromSmarts(text) for text in ("NS(=O)(=O)c1ccccc1", "CN1CCN(C)CC1", "C(F)(F)F")]

    def score(smiles: str) -> int:
        molecule = parse_smiles(smiles)
        return sum(map(molecule.HasSubstructMatch, wanted))

    first = [text for text in MOLECULES if score(text) <= 1]
    first += ["NS(=O)(=O)c1ccccc1C", "CN1CCN(CCC)CC1", "FC(F)(F)CCC"]

    def best_after(breeding: Breeding) -> int:
        scores = {text: score(text) for text in first}
        for seed in range(10):
            parents = sorted(scores, key=lambda text: -scores[text])[:20]
            scores |= {child: score(child) for child in bred(parents, 40, seed, breeding)}
            if max(scores.values()) == len(wanted):
                break
        return max(scores.values())

    assert best_after(Breeding()) == best_after(ONLY["fragment_crossover"]) == 3
    assert best_after(ONLY["graph_mutation"]) < 3
    assert best_after(ONLY["token_change"]) < 3
