"""R33: scores of a name that is one no longer are given to the one that its molecule has now."""

from rdkit import Chem

from molbuffer.samplers import copy_scores_of_renamed
from molbuffer.scoring import Standardisation, standardise_smiles
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Score, ScoreStatus

OLD = Chem.CanonSmiles("O=C(c1ccccc1C(=O)N1C(=O)c2ccccc2C1=O)N1C(=O)c2ccccc2C1=O")
MAPPED = "[CH3:1][CH3:2]"


def test_a_molecule_with_another_name_keeps_its_scores(store: SampleStore) -> None:
    names = {old: standardise_smiles(old) for old in (OLD, MAPPED, "CCO", "OCC")}
    assert names[OLD] != OLD
    assert names[MAPPED] == "CC"
    failed = ScoreStatus.FAILED
    store.record_scores(
        [
            Score(OLD, "docking", "v1", -9.0, seconds=3.0),
            Score(OLD, "docking", "v2", None, failed, "no pose"),
            Score(MAPPED, "docking", "v1", -1.0),
            Score("CC", "docking", "v1", -2.0),
            Score("CCO", "docking", "v1", -3.0),
            Score("OCC", "docking", "v1", None, failed, "no pose"),
            Score("OCC", "qed", "v1", 0.4),
            Score(OLD, "qed", "v1", None, ScoreStatus.LOST, "timeout"),
        ]
    )
    done = copy_scores_of_renamed(store, Standardisation())
    assert (done.molecules, done.renamed, done.scores) == (5, 3, 3)
    found = store.find_scores("docking", "v1", [str(names[OLD]), "CC", "CCO"])
    assert {text: score.value for text, score in found.items()} == {names[OLD]: -9.0, "CC": -2.0, "CCO": -3.0}
    assert found[str(names[OLD])].seconds == 3.0
    assert store.find_scores("docking", "v2", [str(names[OLD])])[str(names[OLD])].error == "no pose"
    assert store.find_scores("qed", "v1", ["CCO", str(names[OLD])]).keys() == {"CCO"}
    assert copy_scores_of_renamed(store, Standardisation()).scores == 0
