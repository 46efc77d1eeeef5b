"""An example of an expensive score: the similarity of a molecule's shape to that of celecoxib.

A conformer is embedded (ETKDGv3, Riniker & Landrum 2015, doi:10.1021/acs.jcim.5b00654), relaxed with MMFF94, aligned by
Open3DAlign (Tosco et al. 2011, doi:10.1007/s10822-011-9462-9), and compared by shape Tanimoto. A molecule takes some
tenths of a second, as in fast docking: with ``cost = "high"`` in shape.toml, each score is stored once it is computed.
"""

from __future__ import annotations

from functools import cache

from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign, rdShapeHelpers

CELECOXIB = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
SEED = 7


def shape_similarity(smiles: str, reference: str = CELECOXIB) -> float:
    """Return the shape Tanimoto to the reference's conformer after alignment, in [0, 1].

    Raises:
        ValueError: no conformer can be embedded; molbuffer stores that as a failed score with this message.
    """
    molecule, target = _conformer(smiles), _reference(reference)
    rdMolAlign.GetO3A(molecule, target).Align()
    return 1.0 - float(rdShapeHelpers.ShapeTanimotoDist(molecule, target))


@cache
def _reference(smiles: str) -> Chem.Mol:
    return _conformer(smiles)


def _conformer(smiles: str) -> Chem.Mol:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    options = AllChem.ETKDGv3()
    options.randomSeed = SEED
    if AllChem.EmbedMolecule(molecule, options) < 0:
        raise ValueError(f"no conformer can be embedded for {smiles}")
    AllChem.MMFFOptimizeMolecule(molecule)
    return molecule
