"""Docking in a worker process: the grid of the receptor is made once, and molecules are docked one after another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from molbuffer.scoring.components.docking.box import Box
from molbuffer.scoring.components.docking.ligand import LigandError, Preparation, prepared
from molbuffer.scoring.components.raw_score import RawScore

OUTSIDE = 2.0
"""Å: how far outside the box an atom of a pose may be, since Vina's last refinement may cross the walls (by 1 Å)."""


@dataclass(frozen=True)
class DockingPlan:
    """The settings of docking.

    Attributes:
        version: the version of the component that the settings belong to.
        receptor: the text of the receptor's PDBQT file.
        box: the box in which molecules are docked.
        scoring: the scoring function: vina or vinardo.
        exhaustiveness: the number of searches, each from another start.
        max_evaluations: the largest number of evaluations of a search; 0 leaves it to Vina.
        seed: the seed of the searches.
        cpu: the cores of a docking.
        preparation: the settings by which molecules are prepared.
    """

    version: str
    receptor: str
    box: Box
    scoring: str
    exhaustiveness: int
    max_evaluations: int
    seed: int
    cpu: int
    preparation: Preparation


_ENGINES: dict[tuple[str, int], Any] = {}
"""Vina engines with a receptor and its grid, by version of the component and number of cores."""


def prepare(plans: Sequence[DockingPlan]) -> list[None]:
    """Make the grids of receptors, so that their time does not count towards the timeout of the first molecule."""
    for plan in plans:
        _engine(plan)
    return [None] * len(plans)


def dock(molecules: Sequence[str], plan: DockingPlan) -> Iterator[RawScore]:
    """Yield the score of each molecule: the energy of its best pose in kcal/mol, and the pose.

    A molecule that cannot be prepared or docked has a failed score with the reason.
    """
    engine = _engine(plan)
    for smiles in molecules:
        started = time.perf_counter()
        try:
            energy, pose = _best_pose(engine, smiles, plan)
        except LigandError as error:
            yield RawScore(None, str(error), time.perf_counter() - started)
        except Exception as error:
            yield RawScore.failed(error, time.perf_counter() - started)
        else:
            yield RawScore(energy, None, time.perf_counter() - started, pose=pose)


def _engine(plan: DockingPlan) -> Any:
    key = (plan.version, plan.cpu)
    if key not in _ENGINES:
        from vina import Vina

        engine = Vina(plan.scoring, cpu=plan.cpu, seed=plan.seed, verbosity=0)
        # Vina reads files only, and the configured file may have changed since its hash was taken.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "receptor.pdbqt")
            file.write_text(plan.receptor)
            engine.set_receptor(str(file))
        engine.compute_vina_maps(list(plan.box.center), list(plan.box.size))
        _ENGINES[key] = engine
    return _ENGINES[key]


def _best_pose(engine: Any, smiles: str, plan: DockingPlan) -> tuple[float, str]:
    """Return the lowest energy of all embedded conformers, and its pose as a mol block.

    Raises:
        LigandError: the molecule cannot be prepared, or does not fit into the box.
    """
    found = [_docked(engine, text, plan) for text in prepared(smiles, plan.preparation)]
    energy, text = min(found, key=lambda each: each[0])
    return energy, _mol_block(text, smiles)


def _docked(engine: Any, ligand: str, plan: DockingPlan) -> tuple[float, str]:
    try:
        engine.set_ligand_from_string(ligand)
        engine.dock(exhaustiveness=plan.exhaustiveness, n_poses=1, max_evals=plan.max_evaluations)
        energies = engine.energies(n_poses=1)
        poses = engine.poses(n_poses=1)
    except (RuntimeError, ValueError, TypeError) as error:
        # Errors of Vina are texts for a console, with line breaks.
        raise LigandError(f"Vina cannot dock it: {' '.join(str(error).split())}") from error
    if len(energies) == 0 or not _lies_in(str(poses), plan.box):
        raise LigandError(f"Vina finds no pose of it in the box with sides {list(plan.box.size)} Å: is it too large?")
    return float(energies[0][0]), str(poses)


def _lies_in(pose: str, box: Box) -> bool:
    """Return whether all atoms of a pose are in the box; Vina only adds a penalty to the energy of poses outside."""
    atoms = [line for line in pose.splitlines() if line.startswith(("ATOM", "HETATM"))]
    positions = np.array([[float(line[start : start + 8]) for start in (30, 38, 46)] for line in atoms])
    return bool((np.abs(positions - box.center) <= np.array(box.size) / 2 + OUTSIDE).all())


def _mol_block(poses: str, smiles: str) -> str:
    """Return the first pose as a mol block, with the SMILES as its name."""
    from meeko import PDBQTMolecule, RDKitMolCreate

    molecules = RDKitMolCreate.from_pdbqt_mol(PDBQTMolecule(poses, skip_typing=True))
    if not molecules or molecules[0] is None:
        raise LigandError("meeko cannot read the pose that Vina wrote")
    molecule = molecules[0]
    molecule.SetProp("_Name", smiles)
    return str(Chem.MolToMolBlock(molecule, confId=0))
