"""The filter of unlikely groups refuses each of them, and lets drugs pass."""

import pytest
from rdkit import Chem

from molbuffer.kinds import KindError
from molbuffer.scoring import UNLIKELY_GROUPS, ScoringConfigurationError, UnlikelyGroups, judge_many, unlikely_group

REFUSED = {
    "phosphines": ["CP(C)C", "CP", "c1ccpcc1"],
    "phosphorus_bonds": ["CP(=O)(C)P(C)(C)=O", "CP(C)(C)=C", "CP(=O)(F)OC"],
    "nitrogen_halogen": ["CN(C)F", "O=C1CCC(=O)N1Cl"],
    "oxygen_halogen": ["COF", "O=I(=O)c1ccccc1"],
    "sulfur_halogen": ["CS(=O)(=O)F", "CSCl"],
    "peroxides": ["COOC", "CC(=O)OO", "C1CCOOC1"],
    "chains_of_heteroatoms": ["CN(C)N(C)N(C)C", "CONOC", "CSSSC"],
    "sulfenic": ["CSOC", "C[SH](=O)=O", "CS(C)=C"],
    "thiocarbonyls": ["CC(C)=S", "CC=S"],
    "cumulenes": ["CC=C=CC", "CC=C=O", "CN=C=O"],
    "imines": ["CC(C)=N", "C=NC"],
    "nitroso": ["CN=O", "O=Nc1ccccc1"],
    "diazo": ["C=[N+]=[N-]", "CN=NC", "N=Nc1ccccc1"],
    "acyl_halides": ["CC(=O)Cl", "O=C(F)c1ccccc1"],
    "alpha_halo_amines": ["CN(C)CCl"],
    "hetero_alkynes": ["CC#COC", "CC#CF", "C[N+]#[C-]"],
    "carbon_ions": ["[CH2-]C", "C[CH+]C", "C[O+](C)C"],
    "strained_rings": ["C1=CC1", "C1ON1", "C1CNO1", "C1=CC=C1", "C1CCC#CCC1", "C12CC1C2", "C1CC2CC12"],
    "bridgehead_alkenes": ["C1=C2CCC(C1)C2"],
}
DRUGS = {
    "artemisinin": "CC1CCC2C(C)C(=O)OC3OC4(C)CCC1C23OO4",
    "zidovudine": "Cc1cn(C2CC(N=[N+]=[N-])C(CO)O2)c(=O)[nH]c1=O",
    "disulfiram": "CCN(CC)C(=S)SSC(=S)N(CC)CC",
    "cyclophosphamide": "O=P1(N(CCCl)CCCl)NCCCO1",
    "sofosbuvir": "CC(C)OC(=O)C(C)NP(=O)(OCC1OC(n2ccc(=O)[nH]c2=O)C(C)(F)C1O)Oc1ccccc1",
    "dacarbazine": "CN(C)N=Nc1nc[nH]c1C(N)=O",
    "isoflurane": "FC(F)OC(Cl)C(F)(F)F",
    "carmustine": "O=NN(CCCl)C(=O)NCCCl",
    "nitroglycerin": "O=[N+]([O-])OCC(CO[N+](=O)[O-])O[N+](=O)[O-]",
    "penicillin": "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
    "omeprazole": "COc1ccc2[nH]c([S+]([O-])Cc3ncc(C)c(OC)c3C)nc2c1",
    "alendronate": "NCCCC(O)(P(=O)(O)O)P(=O)(O)O",
    "metformin": "CN(C)C(=N)NC(=N)N",
    "propylthiouracil": "CCCc1cc(=O)[nH]c(=S)[nH]1",
    "efavirenz": "O=C1Nc2ccc(Cl)cc2C(C#CC2CC2)(C(F)(F)F)O1",
    "bortezomib": "CC(C)CC(NC(=O)C(Cc1ccccc1)NC(=O)c1cnccn1)B(O)O",
    "paclitaxel": "CC1=C2C(OC(C)=O)C(=O)C3(C)C(O)CC4OCC4(OC(C)=O)C3C(OC(=O)c3ccccc3)C(O)(CC1OC(=O)C(O)C"
    "(NC(=O)c1ccccc1)c1ccccc1)C2(C)C",
    "morphine": "CN1CCC23c4c5ccc(O)c4OC2C(O)C=CC3C1C5",
    "hydralazine": "NNc1nncc2ccccc12",
    "phenazopyridine": "Nc1ccc(N=Nc2ccccc2)c(N)n1",
    "choline": "C[N+](C)(C)CCO",
    "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
}


def test_every_group_has_an_example() -> None:
    assert list(REFUSED) == list(UNLIKELY_GROUPS)


@pytest.mark.parametrize(("group", "smiles"), [(group, each) for group, all_ in REFUSED.items() for each in all_])
def test_a_group_is_refused_by_its_name_and_passes_when_it_is_allowed(group: str, smiles: str) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    others = tuple(name for name in UNLIKELY_GROUPS if name != group)
    assert unlikely_group(molecule, others) == group
    assert not UnlikelyGroups().accepts(molecule)
    assert UnlikelyGroups(allow=tuple(UNLIKELY_GROUPS)).accepts(molecule)


@pytest.mark.parametrize("name", DRUGS)
def test_drugs_pass(name: str) -> None:
    assert unlikely_group(Chem.MolFromSmiles(DRUGS[name])) is None


def test_a_refused_molecule_is_stored_with_the_name_of_the_filter() -> None:
    names = [each.rejected_by for each in judge_many(["CP(C)C", "CCO"], [UnlikelyGroups(name="odd")])]
    assert names == ["odd", None]


def test_a_group_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    with pytest.raises((ScoringConfigurationError, KindError), match="phosphines"):
        UnlikelyGroups(allow=("phosphine",))
    with pytest.raises((ScoringConfigurationError, KindError, TypeError, ValueError), match=r"sequence|list|tuple"):
        UnlikelyGroups(allow="phosphines")  # type: ignore[arg-type]
