"""Docking into a small receptor that examples/docking/make_receptor.py makes."""

from __future__ import annotations

import importlib.util
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem

from molbuffer.scoring import Component, RawScore, ScoringConfigurationError
from molbuffer.scoring import errors as scoring_errors
from molbuffer.scoring.components import Vina
from molbuffer.scoring.components.docking.protonation import at_ph7

FOLDER = Path(__file__).parents[3] / "examples/docking"
RECEPTOR, LIGAND = FOLDER / "receptor.pdbqt", FOLDER / "ligand.sdf"
INSTALLED = importlib.util.find_spec("vina") and importlib.util.find_spec("meeko")
pytestmark = pytest.mark.skipif(not INSTALLED, reason="pip install 'molbuffer[docking]'")
PHENOL = "Oc1ccccc1"


def vina(**more: Any) -> Vina:
    settings = {"receptor": str(RECEPTOR), "ligand": str(LIGAND), "exhaustiveness": 1, "max_evaluations": 2000}
    return Vina(**(settings | {"parallel": False} | more))


@pytest.fixture(scope="module")
def docked() -> dict[str, RawScore]:
    molecules = [PHENOL, "CCO", "CB(O)O", "CCO.CC", "C" * 60, "C1CC1"]
    return dict(zip(molecules, vina().values(molecules), strict=True))


def test_it_keeps_the_protocol() -> None:
    component = vina()
    assert isinstance(component, Component)
    assert (component.name, component.cost, component.bounded) == ("vina:receptor", "high", False)
    assert pickle.loads(pickle.dumps(component)).version == component.version


def test_molecules_have_energies_and_poses_in_the_box(docked: dict[str, RawScore]) -> None:
    phenol, ethanol = docked[PHENOL], docked["CCO"]
    assert phenol.value is not None
    assert ethanol.value is not None
    assert -6 < phenol.value < ethanol.value < 0
    assert phenol.pose is not None
    pose = Chem.MolFromMolBlock(phenol.pose, removeHs=True)
    assert Chem.MolToSmiles(pose) == PHENOL
    offset = np.abs(pose.GetConformer().GetPositions() - vina().box.center)
    assert (offset <= np.array(vina().box.size) / 2 + 2).all()


def test_what_cannot_be_prepared_fails_with_the_reason(docked: dict[str, RawScore]) -> None:
    reasons = {"CB(O)O": "atoms of B", "CCO.CC": "2 parts", "C" * 60: "57 rotatable bonds, expected at most 32"}
    for smiles, reason in reasons.items():
        score = docked[smiles]
        assert score.value is None
        assert score.pose is None
        assert not score.lost
        assert reason in str(score.error)


def test_the_energy_depends_neither_on_company_nor_on_cores(docked: dict[str, RawScore]) -> None:
    again = vina(cpu=2, parallel=True).values([PHENOL])[0]
    assert (again.value, again.pose) == (docked[PHENOL].value, docked[PHENOL].pose)
    assert vina(cpu=2, parallel=True).version == vina().version


def test_a_molecule_that_the_box_is_too_small_for_fails() -> None:
    small = vina(ligand=None, center=(0.0, 0.0, 0.0), size=(2.0, 2.0, 2.0))
    (score,) = small.values(["c1ccc(-c2ccccc2)cc1"])
    assert "no pose of it in the box with sides [2.0, 2.0, 2.0]" in str(score.error)


def test_a_molecule_that_takes_too_long_is_lost_alone() -> None:
    slow = vina(exhaustiveness=100_000, max_evaluations=0, timeout=1.0)
    (score,) = slow.values(["CCCCCCc1ccccc1"])
    assert score.lost
    assert "no answer within 1 second" in str(score.error)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"exhaustiveness": 2},
        {"scoring": "vinardo"},
        {"margin": 9.0},
        {"protonation": "ph7"},
        {"tautomer": "canonical"},
        {"conformers": 2},
        {"macrocycles": "rigid"},
        {"packages": False},
    ],
    ids=str,
)
def test_the_version_changes_with_what_decides_the_energy(change: dict[str, Any]) -> None:
    assert vina(**change).version != vina().version


def test_the_version_changes_with_the_receptor_and_not_with_its_name(tmp_path: Path) -> None:
    copy = tmp_path / "other.pdbqt"
    copy.write_text(RECEPTOR.read_text())
    same = vina(receptor=str(copy))
    assert same.version == vina().version
    copy.write_text(RECEPTOR.read_text().replace("9.586", "9.587", 1))
    assert vina(receptor=str(copy)).version != same.version


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"receptor": "nowhere.pdbqt"}, "nowhere.pdbqt cannot be read: No such file"),
        ({"ligand": "nowhere.sdf"}, "nowhere.sdf cannot be read: No such file"),
        ({"ligand": None}, "either a ligand, or center and size"),
        ({"center": (0.0, 0.0, 0.0), "size": (9.0, 9.0, 9.0)}, "either a ligand, or center and size"),
        ({"ligand": None, "center": (0.0, 0.0, 0.0)}, "either a ligand, or center and size"),
        ({"ligand": None, "center": (0.0, 0.0, 0.0), "size": (0.0, 9.0, 9.0)}, "above 0 and at most 126"),
        ({"ligand": None, "center": (90.0, 0.0, 0.0), "size": (9.0, 9.0, 9.0)}, "outside the receptor"),
        ({"ligand": str(RECEPTOR.with_name("make_receptor.py"))}, "no atoms with coordinates"),
        ({"ligand": None, "center": (0.0, 0.0), "size": (9.0, 9.0, 9.0)}, "center of a box needs three numbers"),
        ({"scoring": "gold"}, "unknown scoring 'gold'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=re.escape(message)):
        vina(**settings)


def test_a_box_may_come_from_a_pdb_file(tmp_path: Path) -> None:
    molecule = Chem.MolFromMolFile(str(LIGAND), removeHs=False)
    (tmp_path / "ligand.pdb").write_text(Chem.MolToPDBBlock(molecule))
    assert np.allclose(vina(ligand=str(tmp_path / "ligand.pdb")).box.center, vina().box.center, atol=0.002)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "has no atoms"),
        (lambda text: text.replace(" HD", " H "), "no polar hydrogens"),
        (lambda text: text.replace(" OA", " Xx"), "an AutoDock type in columns 78 and 79"),
        (lambda text: text.replace("9.586", "nan  "), "expected an atom with coordinates"),
        (lambda text: "ROOT\n" + text, "line 1, has ROOT"),
    ],
)
def test_a_file_that_is_no_rigid_receptor_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.pdbqt").write_text(change(RECEPTOR.read_text()))
    with pytest.raises(ScoringConfigurationError, match=message):
        vina(receptor=str(tmp_path / "wrong.pdbqt"))


def test_a_missing_package_is_said_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ScoringConfigurationError, match=re.escape('pip install "molbuffer[docking]"')):
        vina()


@pytest.mark.parametrize(
    ("smiles", "charged"),
    [
        ("CC(=O)O", "CC(=O)[O-]"),
        ("CCN", "CC[NH3+]"),
        ("NCCN", "NCC[NH3+]"),
        ("CN1CCNCC1", "C[NH+]1CCNCC1"),
        ("NC(=N)c1ccccc1", "NC(=[NH2+])c1ccccc1"),
        ("CC(=O)NC", "CNC(C)=O"),
        ("Nc1ccccc1", "Nc1ccccc1"),
        ("CS(=O)(=O)NC", "CNS(C)(=O)=O"),
        ("NCC(=O)O", "[NH3+]CC(=O)[O-]"),
        ("c1ccncc1", "c1ccncc1"),
        ("OP(=O)(O)OC", "COP(=O)([O-])[O-]"),
    ],
)
def test_charges_at_ph7(smiles: str, charged: str) -> None:
    assert Chem.MolToSmiles(at_ph7(Chem.MolFromSmiles(smiles))) == Chem.CanonSmiles(charged)
