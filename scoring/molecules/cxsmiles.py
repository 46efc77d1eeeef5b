"""CXSMILES: a SMILES, a blank, and an extension between two ``|``, of which a plain SMILES can hold only a part.

The same rule applies to every kind of file. The configuration of a stereocentre or double bond in a group ``&`` (a
mixture of both forms) or ``o`` (one of the two, unknown which) is removed, since a plain SMILES would name only one of
the forms. Groups ``a``, coordinates, labels and data are left out. A row with a structure that only the extension
describes (repeating units, variable attachments, atropisomers) is no molecule.
"""

from __future__ import annotations

from rdkit import Chem, rdBase

from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles
from molbuffer.scoring.molecules.standardisation import MAX_LENGTH

ATROPISOMERS = (Chem.BondStereo.STEREOATROPCW, Chem.BondStereo.STEREOATROPCCW)


def plain_smiles(text: str) -> str:
    """Return the plain SMILES of a CXSMILES, unchanged if the extension adds nothing about the molecule.

    A text without an extension is returned unchanged. So is a CXSMILES that no plain SMILES can express; its blank then
    makes it invalid. If the SMILES is too long, the extension is removed without being read.
    """
    smiles, _, extension = text.partition(" ")
    if not extension.startswith("|") or "|" not in extension[1:]:
        return text
    if len(smiles) > MAX_LENGTH:
        return smiles
    written = parse_smiles(smiles)
    with rdBase.BlockLogs():
        molecule = None if written is None else Chem.MolFromSmiles(f"{smiles} {extension}")
    if molecule is None or written is None or _is_more_than_a_molecule(molecule):
        return text
    for group in molecule.GetStereoGroups():
        if group.GetGroupType() != Chem.StereoGroupType.STEREO_ABSOLUTE:
            for atom in group.GetAtoms():
                atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
            for bond in group.GetBonds():
                bond.SetStereo(Chem.BondStereo.STEREONONE)
    meant = canonical_smiles(molecule)
    return smiles if meant == canonical_smiles(written) else meant


def _is_more_than_a_molecule(molecule: Chem.Mol) -> bool:
    """Return whether the extension of a CXSMILES describes a structure that no plain SMILES can express."""
    return (
        any(group.GetProp("TYPE") != "DAT" for group in Chem.GetMolSubstanceGroups(molecule))
        or any(bond.HasProp("_MolFileBondEndPts") or bond.GetStereo() in ATROPISOMERS for bond in molecule.GetBonds())
        or any(atom.HasQuery() and atom.GetAtomicNum() for atom in molecule.GetAtoms())
        or bool(molecule.HasProp("_molLinkNodes"))
    )
