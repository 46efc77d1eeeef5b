"""A scoring program: the planarity and the asphericity of a molecule, from one relaxed conformer.

It reads a table with the columns id and smiles, and writes a table with the id, the plane of best fit in Å (PBF: Firth
et al. 2012, doi:10.1021/ci300293f), the asphericity in [0, 1], and the reason if a molecule has neither. program.toml
calls it; a program in any other language can be used in the same way.
"""

import csv
import sys

from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdMolDescriptors

SEED = 7


def conformer(smiles: str) -> Chem.Mol:
    """Return a molecule with a relaxed conformer.

    Raises:
        ValueError: no conformer can be embedded.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = SEED
    if AllChem.EmbedMolecule(molecule, parameters) != 0:
        raise ValueError("no conformer can be embedded")
    AllChem.MMFFOptimizeMolecule(molecule)
    return molecule


def main() -> None:
    """Score the molecules of stdin."""
    RDLogger.DisableLog("rdApp.*")
    table = csv.writer(sys.stdout)
    table.writerow(("id", "pbf", "asphericity", "error"))
    for row in csv.DictReader(sys.stdin):
        try:
            molecule = conformer(row["smiles"])
        except ValueError as error:
            table.writerow((row["id"], "", "", error))
        else:
            pbf, asphericity = rdMolDescriptors.CalcPBF(molecule), rdMolDescriptors.CalcAsphericity(molecule)
            table.writerow((row["id"], pbf, asphericity, ""))


if __name__ == "__main__":
    main()
