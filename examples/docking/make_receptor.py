"""Make a small receptor for examples and tests: a bowl of amino acids, in the public domain.

    python make_receptor.py            # writes receptor.pdbqt and ligand.sdf into this folder

Sixteen capped residues stand on the lower part of a sphere of 7.5 Å around the origin, side chains inwards, so that the
pocket between them has hydrophobic, aromatic, positive and negative walls. It is no natural protein: a good docking
score here does not predict binding to anything. For a receptor of your own, prepare its PDB file with meeko:

    mk_prepare_receptor.py --read_pdb protein.pdb --write_pdbqt receptor.pdbqt --default_altloc A --allow_bad_res
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import AllChem

SIDE_CHAINS = {
    "ASP": "CC(=O)[O-]",
    "ARG": "CCCNC(N)=[NH2+]",
    "PHE": "Cc1ccccc1",
    "LEU": "CC(C)C",
    "SER": "CO",
    "TYR": "Cc1ccc(O)cc1",
    "ASN": "CC(N)=O",
    "VAL": "C(C)C",
    "HIS": "Cc1c[nH]cn1",
    "MET": "CCSC",
    "GLN": "CCC(N)=O",
    "TRP": "Cc1c[nH]c2ccccc12",
    "ILE": "C(C)CC",
    "THR": "C(C)O",
    "LYS": "CCCC[NH3+]",
    "ALA": "C",
}
RADIUS = 7.5
"""The radius of the sphere in Å; no atom of a residue may be nearer to the centre of the pocket than this minus 4 Å."""
RING_OF_BENZAMIDINE = "NC(=[NH2+])c1ccccc1"


def main() -> None:
    """Write the receptor, and a small molecule in the pocket that defines the docking box."""
    here = Path(__file__).parent
    lines: list[str] = ["REMARK  a bowl of capped amino acids, made by make_receptor.py; public domain (CC0)"]
    taken = np.zeros((0, 3))
    for number, (name, side_chain) in enumerate(SIDE_CHAINS.items(), start=1):
        residue = embedded(f"CC(=O)N[C@@H]({side_chain})C(=O)NC")
        placed = place(residue, direction(number - 1, len(SIDE_CHAINS)), taken)
        taken = np.concatenate([taken, placed])
        lines += pdbqt_lines(residue, placed, name, number, len(lines))
    (here / "receptor.pdbqt").write_text("\n".join([*lines, "TER", ""]))
    ligand = embedded(RING_OF_BENZAMIDINE)
    with Chem.SDWriter(str(here / "ligand.sdf")) as writer:
        ligand.SetProp("_Name", "benzamidine, in the middle of the pocket")
        writer.write(ligand)


def embedded(smiles: str) -> Chem.Mol:
    """Return a molecule with hydrogens and reproducible coordinates, centred at the origin."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=7)
    AllChem.MMFFOptimizeMolecule(molecule)
    conformer = molecule.GetConformer()
    conformer.SetPositions(conformer.GetPositions() - conformer.GetPositions().mean(axis=0))
    return molecule


def direction(number: int, of: int) -> NDArray[np.float64]:
    """Return the unit vector of a residue on a spiral over the lower three quarters of a sphere, open at the top."""
    height = 1.0 - 0.5 - 1.5 * (number + 0.5) / of
    angle = number * math.pi * (3 - math.sqrt(5))
    across = math.sqrt(1 - height**2)
    return np.array([across * math.cos(angle), across * math.sin(angle), height])


def place(residue: Chem.Mol, outwards: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coordinates of a residue with its side chain towards the origin, as near as its neighbours allow."""
    positions = residue.GetConformer().GetPositions()
    alpha, backbone, side = parts(residue)
    axis = positions[side].mean(axis=0) - positions[backbone].mean(axis=0)
    turned = (positions - positions[alpha]) @ rotation(axis / np.linalg.norm(axis), -outwards).T
    inner = (turned @ outwards).min()
    best: tuple[float, NDArray[np.float64]] | None = None
    for distance in np.arange(RADIUS - 4.0, RADIUS + 6.0, 0.25):
        for angle in np.arange(0.0, 2 * math.pi, math.pi / 12):
            here = turned @ about(outwards, angle).T + outwards * (distance - inner)
            gap = np.linalg.norm(here[:, None] - taken[None], axis=2).min() if len(taken) else 9.0
            if gap >= 2.3 and np.linalg.norm(here, axis=1).min() >= RADIUS - 4.0:
                return here
            if best is None or gap > best[0]:
                best = (gap, here)
    raise SystemExit("the residues do not fit around the pocket; use a larger RADIUS")


def parts(residue: Chem.Mol) -> tuple[int, list[int], list[int]]:
    """Return the indices of the alpha carbon, of the backbone atoms and of the side-chain atoms."""
    match = residue.GetSubstructMatch(Chem.MolFromSmarts("CC(=O)N[CX4]C(=O)NC"))
    heavy = [atom.GetIdx() for atom in residue.GetAtoms() if atom.GetAtomicNum() > 1]
    return match[4], list(match), [atom for atom in heavy if atom not in match]


def rotation(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrix that turns one unit vector into another."""
    axis, cosine = np.cross(source, target), float(source @ target)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return np.eye(3) if cosine > 0 else -np.eye(3) + 2 * np.outer([1, 0, 0], [1, 0, 0])
    return about(axis / sine, math.atan2(sine, cosine))


def about(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the matrix of a rotation about a unit vector by an angle in radians (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def pdbqt_lines(residue: Chem.Mol, positions: NDArray[np.float64], name: str, number: int, start: int) -> list[str]:
    """Return the ATOM lines of a residue in PDBQT, without hydrogens on carbon, which the format merges."""
    AllChem.ComputeGasteigerCharges(residue)
    lines = []
    for atom in residue.GetAtoms():
        kind = autodock_type(atom)
        if kind is None:
            continue
        x, y, z = positions[atom.GetIdx()]
        symbol = f"{atom.GetSymbol()}{atom.GetIdx()}"
        charge = atom.GetDoubleProp("_GasteigerCharge")
        lines.append(
            f"ATOM  {start + len(lines):5d} {symbol:<4} {name} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
            f"    {charge:6.3f} {kind:<2}"
        )
    return lines


def autodock_type(atom: Chem.Atom) -> str | None:
    """Return the AutoDock type of a protein atom; None for a hydrogen that is merged with its carbon."""
    symbol = atom.GetSymbol()
    if symbol == "H":
        return "HD" if atom.GetNeighbors()[0].GetSymbol() != "C" else None
    if symbol == "C":
        return "A" if atom.GetIsAromatic() else "C"
    if symbol == "N":
        accepts = atom.GetIsAromatic() and atom.GetTotalNumHs(includeNeighbors=True) == 0
        return "NA" if accepts else "N"
    return {"O": "OA", "S": "SA"}[symbol]


if __name__ == "__main__":
    main()
