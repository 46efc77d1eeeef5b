"""``molbuffer poses`` writes the poses of a store as an SD file, and says what it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem

from molbuffer.samplers import Scorer
from molbuffer.scoring import Objective, RawScore, WeightedComponent
from molbuffer.scoring.transforms import Sigmoid
from molbuffer.storage import SampleStore

ENERGIES = {"CCO": -2.0, "CCCO": -2.5, "CCN": -1.5}


class Docked:
    """A component that gives energies with poses, as Vina does."""

    name = kind = "vina"
    version, cost, bounded, parallel = "v1", "high", False, False

    def values(self, molecules: list[str]) -> list[RawScore]:
        return [RawScore(ENERGIES[text], pose=Chem.MolToMolBlock(Chem.MolFromSmiles(text))) for text in molecules]


@pytest.fixture(scope="module")
def docked_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docked") / "store"
    objective = Objective([WeightedComponent(Docked(), transform=Sigmoid(low=-3, high=-1))])  # type: ignore[arg-type]
    with SampleStore.create(path) as store:
        Scorer(objective, store).score(list(ENERGIES))
    return path


def records(text: str) -> list[tuple[str, float]]:
    supplier = Chem.SDMolSupplier()
    supplier.SetData(text)
    return [(each.GetProp("SMILES"), float(each.GetProp("value"))) for each in supplier]


def test_the_best_poses_come_first(docked_store: Path, molbuffer: Callable[..., Any], tmp_path: Path) -> None:
    done = molbuffer("poses", "--store", docked_store, "-n", "2", "--out", tmp_path / "best.sdf")
    assert (done.returncode, done.stderr) == (0, "2 poses\n")
    assert records((tmp_path / "best.sdf").read_text()) == [("CCCO", -2.5), ("CCO", -2.0)]


def test_the_poses_of_named_molecules_are_found_in_any_form(docked_store: Path, molbuffer: Callable[..., Any]) -> None:
    done = molbuffer("poses", "--store", docked_store, "NCC", "--component", "vina")
    assert records(done.stdout) == [("CCN", -1.5)]
    assert "no poses" in molbuffer("poses", "--store", docked_store, "--component", "other").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["C1CC"], "'C1CC' is no molecule"), (["--out", "poses.csv"], "expected a name that ends in .sdf")],
)
def test_mistakes_are_refused(
    docked_store: Path, molbuffer: Callable[..., Any], arguments: list[str], message: str
) -> None:
    done = molbuffer("poses", "--store", docked_store, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
