"""A sampler that writes the molecules of another sampler as other SMILES."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from rdkit import Chem

from molbuffer.samplers import Draw, Sampler, SamplerSize, Vocabulary, derive_seed, encode_rows
from molbuffer.scoring import parse_smiles


@dataclass(frozen=True)
class RewrittenSampler(Sampler):
    """A sampler of random SMILES of the molecules of another sampler.

    The fields are the keys in a configuration, except those that a run sets: name, size and vocabulary.

    Attributes:
        base_sampler: draws the molecules.
        spellings: the number of SMILES of each molecule, which follow one another.
    """

    name: str
    base_sampler: Sampler
    vocabulary: Vocabulary
    _: KW_ONLY
    size: SamplerSize = SamplerSize()
    spellings: Annotated[int, Ge(1)] = 1
    kind: ClassVar[str] = "rewritten"

    def draw(self, n: int, seed: int) -> Draw:
        """Draw up to n rows without a likelihood; the same seed gives the same rows."""
        molecules = self.base_sampler.draw(-(-n // self.spellings), derive_seed(seed, "molecules")).raw
        texts = [
            _rewritten(text, derive_seed(seed, "spelling", str(row), str(again)))
            for row, text in enumerate(molecules)
            for again in range(self.spellings)
        ][:n]
        return Draw(texts, encode_rows(texts, self.vocabulary))


def _rewritten(text: str, seed: int) -> str:
    """Return a random SMILES of a molecule; a text that is no molecule is returned unchanged, and rejected later."""
    molecule = parse_smiles(text)
    if molecule is None:
        return text
    spellings: list[str] = Chem.MolToRandomSmilesVect(molecule, 1, randomSeed=seed % 2**31)
    return spellings[0]
