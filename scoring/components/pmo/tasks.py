"""The 20 tasks of PMO that need no trained model, each a function of a molecule to a value in [0, 1].

Gao, Fu, Sun, Coley, "Sample Efficiency Matters: A Benchmark for Practical Molecular Optimization", NeurIPS 2022. All
but ``qed`` are objectives of GuacaMol, some with other targets or details. The values equal those of the oracles of TDC
1.1, which the benchmark calls; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rdkit import Chem
from rdkit.Chem import QED, GraphDescriptors, rdMolDescriptors

from molbuffer.scoring.components.pmo.parts import (
    Isomer,
    Likeness,
    Pattern,
    PharmacophoreLikeness,
    at_least,
    at_most,
    gaussian,
    geometric_mean,
    mean,
    of_target,
    up_to,
)
from molbuffer.scoring.molecules import Fingerprint

tpsa: Callable[[Chem.Mol], float] = rdMolDescriptors.CalcTPSA
aromatic_rings: Callable[[Chem.Mol], int] = rdMolDescriptors.CalcNumAromaticRings
rings: Callable[[Chem.Mol], int] = rdMolDescriptors.CalcNumRings
complexity: Callable[[Chem.Mol], float] = GraphDescriptors.BertzCT

CELECOXIB = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
TROGLITAZONE = "Cc1c(C)c2c(c(C)c1O)CCC(C)(COc1ccc(CC3SC(=O)NC3=O)cc1)O2"
THIOTHIXENE = "CN1CCN(CCC=C2c3ccccc3Sc3ccc(S(=O)(=O)N(C)C)cc32)CC1"
ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
MESTRANOL = "C#CC1(O)CCC2C3CCc4cc(OC)ccc4C3CCC21C"
CAMPHOR, MENTHOL = "CC1(C)C2CCC1(C)C(=O)C2", "CC(C)C1CCC(C)CC1O"
TADALAFIL = "CN1CC(=O)N2C(Cc3c([nH]c4ccccc34)C2c2ccc3c(c2)OCO3)C1=O"
SILDENAFIL = "CCCc1nn(C)c2c(=O)[nH]c(-c3cc(S(=O)(=O)N4CCN(C)CC4)ccc3OCC)nc12"
OSIMERTINIB = "C=CC(=O)Nc1cc(Nc2nccc(-c3cn(C)c4ccccc34)n2)c(OC)cc1N(C)CCN(C)C"
FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(C(O)CCCN2CCC(C(O)(c3ccccc3)c3ccccc3)CC2)cc1"
RANOLAZINE = "COc1ccccc1OCC(O)CN1CCN(CC(=O)Nc2c(C)cccc2C)CC1"
PERINDOPRIL = "CCCC(NC(C)C(=O)N1C(C(=O)O)CC2CCCCC21)C(=O)OCC"
AMLODIPINE = "CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl"
ZALEPLON = "CCN(C(C)=O)c1cccc(-c2ccnc3c(C#N)cnn23)c1"
SITAGLIPTIN = "NC(CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F"
HOPPED = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
"""The molecule whose scaffold or decoration the hop tasks replace."""
QUINAZOLINE = Pattern("[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12")
"""The scaffold of ``HOPPED``."""


def logp(molecule: Chem.Mol) -> float:
    """Return the octanol-water partition coefficient after Wildman and Crippen (1999)."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(molecule)[0])


@dataclass(frozen=True)
class PMOTask:
    """A task of PMO.

    Attributes:
        name: the name of the task in the benchmark.
        about: a description of the goal in one line.
        score: returns the value of a molecule, in [0, 1].
    """

    name: str
    about: str
    score: Callable[[Chem.Mol], float]


def _rediscovery(target: str) -> Callable[[Chem.Mol], float]:
    return Likeness((target,), Fingerprint.MORGAN)


def _similarity(target: str, kind: Fingerprint) -> Callable[[Chem.Mol], float]:
    likeness = Likeness((target,), kind)
    return lambda molecule: up_to(likeness(molecule), 0.75)


def _median(first: str, second: str, radius: int) -> Callable[[Chem.Mol], float]:
    likeness = Likeness((first, second), Fingerprint.MORGAN, radius)
    return lambda molecule: geometric_mean(*likeness.all(molecule))


def _osimertinib() -> Callable[[Chem.Mol], float]:
    fcfp4, ecfp6 = Likeness((OSIMERTINIB,), Fingerprint.FCFP), Likeness((OSIMERTINIB,), Fingerprint.MORGAN, 3)
    return lambda molecule: geometric_mean(
        at_least(tpsa(molecule), 100.0, 10.0),
        at_most(logp(molecule), 1.0, 1.0),
        up_to(fcfp4(molecule), 0.8),
        at_most(ecfp6(molecule), 0.85, 0.1),
    )


def _fexofenadine() -> Callable[[Chem.Mol], float]:
    likeness = Likeness((FEXOFENADINE,), Fingerprint.ATOM_PAIR)
    return lambda molecule: geometric_mean(
        at_least(tpsa(molecule), 90.0, 10.0), at_most(logp(molecule), 4.0, 1.0), up_to(likeness(molecule), 0.8)
    )


def _ranolazine() -> Callable[[Chem.Mol], float]:
    likeness = Likeness((RANOLAZINE,), Fingerprint.ATOM_PAIR)
    return lambda molecule: geometric_mean(
        at_least(tpsa(molecule), 95.0, 20.0),
        at_least(logp(molecule), 7.0, 1.0),
        up_to(likeness(molecule), 0.7),
        gaussian(sum(atom.GetAtomicNum() == 9 for atom in molecule.GetAtoms()), 1.0, 1.0),
    )


def _with_rings(target: str, count: Callable[[Chem.Mol], int], number: int) -> Callable[[Chem.Mol], float]:
    likeness = Likeness((target,), Fingerprint.MORGAN)
    return lambda molecule: geometric_mean(likeness(molecule), gaussian(count(molecule), number, 0.5))


def _zaleplon() -> Callable[[Chem.Mol], float]:
    likeness, isomer = Likeness((ZALEPLON,), Fingerprint.MORGAN), Isomer("C19H17N3O2")
    return lambda molecule: geometric_mean(likeness(molecule), isomer(molecule))


def _sitagliptin() -> Callable[[Chem.Mol], float]:
    likeness, isomer = Likeness((SITAGLIPTIN,), Fingerprint.MORGAN), Isomer("C16H15F6N5O")
    return lambda molecule: geometric_mean(
        gaussian(likeness(molecule), 0.0, 0.1),
        gaussian(logp(molecule), of_target(logp, SITAGLIPTIN), 0.2),
        gaussian(tpsa(molecule), of_target(tpsa, SITAGLIPTIN), 5.0),
        isomer(molecule),
    )


def _valsartan() -> Callable[[Chem.Mol], float]:
    pattern = Pattern("CN(C=O)Cc1ccc(c2ccccc2)cc1")

    def score(molecule: Chem.Mol) -> float:
        # Nearly all molecules lack the pattern, and the complexity takes most of the time.
        if not pattern(molecule):
            return 0.0
        return geometric_mean(
            gaussian(tpsa(molecule), of_target(tpsa, SITAGLIPTIN), 5.0),
            gaussian(logp(molecule), of_target(logp, SITAGLIPTIN), 0.2),
            gaussian(complexity(molecule), of_target(complexity, SITAGLIPTIN), 30.0),
            1.0,
        )

    return score


def _deco_hop() -> Callable[[Chem.Mol], float]:
    likeness, sulfone, amine = (
        PharmacophoreLikeness(HOPPED),
        Pattern("CS([#6])(=O)=O"),
        Pattern("[#7]-c1ccc2ncsc2c1"),
    )
    return lambda molecule: mean(
        [up_to(likeness(molecule), 0.85), 1 - sulfone(molecule), 1 - amine(molecule), QUINAZOLINE(molecule)]
    )


def _scaffold_hop() -> Callable[[Chem.Mol], float]:
    likeness = PharmacophoreLikeness(HOPPED)
    decoration = Pattern("[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1")
    return lambda molecule: mean([up_to(likeness(molecule), 0.75), decoration(molecule), 1 - QUINAZOLINE(molecule)])


_ALL = (
    PMOTask("albuterol_similarity", "similar to albuterol (FCFP4)", _similarity(ALBUTEROL, Fingerprint.FCFP)),
    PMOTask("amlodipine_mpo", "similar to amlodipine (ECFP4), with 3 rings", _with_rings(AMLODIPINE, rings, 3)),
    PMOTask("celecoxib_rediscovery", "celecoxib (ECFP4)", _rediscovery(CELECOXIB)),
    PMOTask("deco_hop", "a quinazoline's scaffold and pharmacophores, without two of its groups", _deco_hop()),
    PMOTask("fexofenadine_mpo", "similar to fexofenadine (AP), more polar and less lipophilic", _fexofenadine()),
    PMOTask("isomers_c7h8n2o2", "the formula C7H8N2O2", Isomer("C7H8N2O2")),
    PMOTask("isomers_c9h10n2o2pf2cl", "the formula C9H10N2O2PF2Cl", Isomer("C9H10N2O2PF2Cl")),
    PMOTask("median1", "similar to both camphor and menthol (ECFP4)", _median(CAMPHOR, MENTHOL, 2)),
    PMOTask("median2", "similar to both tadalafil and sildenafil (ECFP6)", _median(TADALAFIL, SILDENAFIL, 3)),
    PMOTask("mestranol_similarity", "similar to mestranol (AP)", _similarity(MESTRANOL, Fingerprint.ATOM_PAIR)),
    PMOTask("osimertinib_mpo", "similar to osimertinib (FCFP4), but not too much (ECFP6), and polar", _osimertinib()),
    PMOTask(
        "perindopril_mpo",
        "similar to perindopril (ECFP4), with 2 aromatic rings",
        _with_rings(PERINDOPRIL, aromatic_rings, 2),
    ),
    PMOTask("qed", "drug-likeness", QED.qed),
    PMOTask("ranolazine_mpo", "similar to ranolazine (AP), lipophilic and polar, with a fluorine", _ranolazine()),
    PMOTask("scaffold_hop", "a quinazoline's decoration and pharmacophores, without its scaffold", _scaffold_hop()),
    PMOTask("sitagliptin_mpo", "formula, logP and polarity of sitagliptin, but dissimilar (ECFP4)", _sitagliptin()),
    PMOTask("thiothixene_rediscovery", "thiothixene (ECFP4)", _rediscovery(THIOTHIXENE)),
    PMOTask("troglitazone_rediscovery", "troglitazone (ECFP4)", _rediscovery(TROGLITAZONE)),
    PMOTask("valsartan_smarts", "a part of valsartan, with logP, polarity and complexity of sitagliptin", _valsartan()),
    PMOTask("zaleplon_mpo", "similar to zaleplon (ECFP4), with the formula C19H17N3O2", _zaleplon()),
)

PMO_TASKS: dict[str, PMOTask] = {task.name: task for task in _ALL}
"""The tasks by name, in alphabetical order."""
