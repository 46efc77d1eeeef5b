"""CXSMILES: a SMILES, a blank, and an extension between two ``|``, of which a plain SMILES can hold only a part.

The rule, for every kind of file: where a stereocentre or double bond is in a group ``&`` (a mixture of both forms) or
``o`` (one of the two, unknown which), its configuration is removed, since as plain SMILES it would name one form alone.
Groups ``a``, coordinates, labels and data are left out. A structure that only the extension has (repeating units,
variable attachments, atropisomers) makes the row no molecule.
"""

from __future__ import annotations

from rdkit import Chem, rdBase

from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles
from molbuffer.scoring.molecules.standardisation import MAX_LENGTH

ATROPISOMERS = (Chem.BondStereo.STEREOATROPCW, Chem.BondStereo.STEREOATROPCCW)


def plain_smiles(text: str) -> str:
    """Return the plain SMILES of a CXSMILES, unchanged where the extension says nothing more about the molecule.

    A text without an extension is returned as it is, and so is one that cannot be a plain SMILES, which is no molecule
    because of its blank. An extension of too long a SMILES is not read.
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
    """Return whether the extension of a CXSMILES describes what no plain SMILES can."""
    return (
        any(group.GetProp("TYPE") != "DAT" for group in Chem.GetMolSubstanceGroups(molecule))
        or any(bond.HasProp("_MolFileBondEndPts") or bond.GetStereo() in ATROPISOMERS for bond in molecule.GetBonds())
        or any(atom.HasQuery() and atom.GetAtomicNum() for atom in molecule.GetAtoms())
        or bool(molecule.HasProp("_molLinkNodes"))
    )
