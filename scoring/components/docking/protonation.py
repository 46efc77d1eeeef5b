"""The protonation state and the tautomer in which a molecule is docked."""

from __future__ import annotations

from functools import cache

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

_ACIDS = (
    "[CX3](=O)[OX2H1:1]",
    "[SX4](=O)(=O)[OX2H1:1]",
    "[PX4](=O)[OX2H1:1]",
    "[#6](=O)[NX3H1:1]S(=O)(=O)",
    "c1nn[nH1:1]n1",
    "c1nnn[nH1:1]1",
)
"""Groups that are mostly anions at pH 7; the atom 1 loses its hydrogen."""
_BASES = (
    "[NX3H2,NX3H1,NX3H0;+0;!$(N~[!#6;!#1]);!$(N[#6]=[!#6]);!$(N[#6]#[!#6]);!$(Na);!$(NC=C):1][CX4]",
    "[NX2H1,NX2H0;+0:1]=[CX3]([NX3;!$(N~[!#6;!#1]);!$(NC=[O,S])])[#6,#1,NX3;!$(N~[!#6;!#1]);!$(NC=[O,S])]",
)
"""Groups that are mostly cations at pH 7: amines on saturated carbon, amidines and guanidines."""


def at_ph7(molecule: Chem.Mol) -> Chem.Mol:
    """Return a molecule with the charges that its acids and bases mostly have at pH 7.

    The charges follow a few rules for common groups, and no prediction of pKa: carboxylic, sulfonic and phosphoric
    acids, acyl sulfonamides and tetrazoles lose a proton; amines on saturated carbon, amidines and guanidines take one.
    A base within three bonds of a positive atom stays neutral, so that piperazine and ethylenediamine have one charge.
    """
    changed = Chem.RWMol(molecule)
    for pattern in _patterns(_ACIDS):
        for match in changed.GetSubstructMatches(pattern):
            _charge(changed, match[_labelled(pattern)], -1)
    for pattern in _patterns(_BASES):
        for match in changed.GetSubstructMatches(pattern):
            atom = match[_labelled(pattern)]
            if not _near_cation(changed, atom):
                _charge(changed, atom, +1)
    done = changed.GetMol()
    Chem.SanitizeMol(done)
    return done


def canonical_tautomer(molecule: Chem.Mol) -> Chem.Mol:
    """Return RDKit's canonical tautomer of a molecule, which need not be the most stable one."""
    with rdBase.BlockLogs():
        return rdMolStandardize.TautomerEnumerator().Canonicalize(molecule)


@cache
def _patterns(smarts: tuple[str, ...]) -> tuple[Chem.Mol, ...]:
    return tuple(map(Chem.MolFromSmarts, smarts))


def _labelled(pattern: Chem.Mol) -> int:
    return next(int(atom.GetIdx()) for atom in pattern.GetAtoms() if atom.GetAtomMapNum() == 1)


def _charge(molecule: Chem.RWMol, index: int, charge: int) -> None:
    atom = molecule.GetAtomWithIdx(index)
    if atom.GetFormalCharge() != 0:
        return
    hydrogens = atom.GetTotalNumHs()
    atom.SetFormalCharge(charge)
    atom.SetNoImplicit(True)
    atom.SetNumExplicitHs(hydrogens + charge)
    molecule.UpdatePropertyCache()


def _near_cation(molecule: Chem.Mol, index: int) -> bool:
    """Return whether an atom at most three bonds away has a positive charge, next to which a second one is rare."""
    near = {index}
    for _ in range(3):
        near |= {each.GetIdx() for atom in near for each in molecule.GetAtomWithIdx(atom).GetNeighbors()}
    return any(molecule.GetAtomWithIdx(atom).GetFormalCharge() > 0 for atom in near - {index})
