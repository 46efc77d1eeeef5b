"""The form in which the molecule of a file is drawn: as written if the policy can express it, else canonical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from molbuffer.samplers.tokens import Vocabulary
from molbuffer.scoring import Standardisation, standardise_many


def largest_fragments(texts: Sequence[str], standardisation: Standardisation) -> list[str]:
    """Return the texts with salts and mixtures replaced by the canonical SMILES of their largest fragment."""
    cut = list(texts)
    salts = [at for at, text in enumerate(cut) if "." in text]
    parts = standardise_many([cut[at] for at in salts], replace(standardisation, largest_fragment=True))
    for at, part in zip(salts, parts, strict=True):
        cut[at] = cut[at] if part is None else part
    return cut


def usable_texts(
    texts: Sequence[str], expressible: Sequence[bool], vocabulary: Vocabulary, standardisation: Standardisation
) -> list[str]:
    """Return each text of a file in the form in which it is drawn.

    A text with tokens that the vocabulary lacks, such as ``[CH3][CH2][OH]``, becomes the canonical SMILES of its
    molecule, ``CCO``, if the vocabulary can express it. Other texts stay as they are written, also those that are no
    molecule.

    Args:
        texts: the texts [n].
        expressible: whether the vocabulary has all tokens of each text [n].
        vocabulary: the vocabulary of the policy in training.
        standardisation: the campaign's standardisation.
    """
    usable = list(texts)
    strange = [at for at, known in enumerate(expressible) if not known]
    for at, molecule in zip(strange, standardise_many([usable[at] for at in strange], standardisation), strict=True):
        if molecule is not None and vocabulary.can_encode(molecule):
            usable[at] = molecule
    return usable
