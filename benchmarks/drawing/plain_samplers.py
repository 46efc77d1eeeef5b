"""Plain samplers, as one writes them without molbuffer: each function returns a function that draws n molecules."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from plain_loops import PlainLoop
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from molbuffer.samplers import END, RESERVED, Policy, Vocabulary
from molbuffer.samplers.models import UNCONDITIONED, Condition

Draw = Callable[[int], Sequence[str]]
"""A function that returns n molecules."""

ELEMENTS = ["C", "N", "O", "F", "S", "Cl"]
EDITS = [
    AllChem.ReactionFromSmarts(smarts)
    for smarts in (
        *(f"[*;!H0:1]>>[*:1]{element}" for element in ELEMENTS),
        *(f"[*:1]-[*:2]>>[*:1]{element}[*:2]" for element in "CNOS"),
        *(f"[#6,#7,#8;H1,H2,H3:1]>>[{element};+0:1]" for element in ("#6", "#7", "#8")),
        "[*:1]~[D1;!$(*~[D1])]>>[*:1]",
        "[*;!H0:1]-[*;!H0:2]>>[*:1]=[*:2]",
        "[*:1]=[*:2]>>[*:1]-[*:2]",
        "[*;!H0:1]~[*:2]~[*:3]~[*:4]~[*;!H0:5]>>[*:1]1~[*:2]~[*:3]~[*:4]~[*:5]1",
        "[*;R:1]-;@[*;R:2]>>([*:1].[*:2])",
    )
]
"""Mutations of a molecule as reactions: append, insert, exchange, delete, change a bond, close and open a ring."""
CUT = Chem.MolFromSmarts("[*]-;!@[*]")
JOIN = AllChem.ReactionFromSmarts("[*:1]-[1*].[1*]-[*:2]>>[*:1]-[*:2]")


def padded(smiles: Sequence[str], vocabulary: Vocabulary) -> Tensor:
    """Return the tokens [n, L] of molecules, with PAD after the end of each."""
    rows = [[*(vocabulary.ids[token] for token in vocabulary.grammar.split(text)), END] for text in smiles]
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def with_tokens(molecules: Draw, vocabulary: Vocabulary) -> Draw:
    """Return draws that also make the rows of tokens that a training step needs, as molbuffer's samplers do."""

    def draw(n: int) -> Sequence[str]:
        padded(drawn := molecules(n), vocabulary)
        return drawn

    return draw


def encodable(smiles: str, vocabulary: Vocabulary) -> bool:
    return all(token in vocabulary.ids for token in vocabulary.grammar.split(smiles))


def from_model(policy: Policy, condition: Callable[[int], Condition] = lambda n: UNCONDITIONED) -> Draw:
    """Return draws by the plain loop of a model, given the condition of each row, with the tokens joined to strings."""
    loop, vocabulary = PlainLoop(policy.model), policy.vocabulary

    def draw(n: int) -> Sequence[str]:
        drawn = loop.sample(n, condition(n))
        return [
            vocabulary.grammar.join([vocabulary.tokens[token] for token in row if token >= len(RESERVED)])
            for row in drawn.tokens.tolist()
        ]

    return draw


def from_file(path: Path) -> Draw:
    """Read a file, and return draws of its rows."""
    molecules = pl.read_csv(path, has_header=False).to_series().to_list()
    rng = random.Random(0)
    return lambda n: rng.choices(molecules, k=n)


def from_pairs(path: Path, vocabulary: Vocabulary) -> Draw:
    """Read a table of pairs, and return draws of its rows, with the tokens of the sources in their canonical form."""
    table = pl.read_csv(path)

    def draw(n: int) -> Sequence[str]:
        rows = table.sample(n, with_replacement=True)
        padded([canonical(source) or source for source in rows["source"]], vocabulary)
        return rows["target"].to_list()

    return draw


def from_memory(memory: pl.DataFrame) -> Draw:
    """Return draws from a table of generated and scored molecules in memory, the usual form of a history."""
    return lambda n: memory.sample(n)["smiles"].to_list()


def by_mutation(parents: Draw, vocabulary: Vocabulary) -> Draw:
    """Return draws that edit the tokens of each parent until the result is another molecule."""
    rng = random.Random(0)

    def draw(n: int) -> Sequence[str]:
        with rdBase.BlockLogs():
            return [_mutant(parent, vocabulary, rng) for parent in parents(n)]

    return draw


def _mutant(parent: str, vocabulary: Vocabulary, rng: random.Random) -> str:
    same, choices = canonical(parent), vocabulary.tokens[len(RESERVED) :]
    while True:
        tokens = vocabulary.grammar.split(parent)
        place = rng.randrange(len(tokens))
        match rng.choice(("insert", "replace", "delete", "swap")):
            case "insert":
                tokens.insert(place, rng.choice(choices))
            case "replace":
                tokens[place] = rng.choice(choices)
            case "delete" if len(tokens) > 1:
                del tokens[place]
            case _:
                other = rng.randrange(len(tokens))
                tokens[place], tokens[other] = tokens[other], tokens[place]
        text = vocabulary.grammar.join(tokens)
        if canonical(text) not in (None, same):
            return text


def by_genetic_algorithm(parents: Sequence[str], vocabulary: Vocabulary) -> Draw:
    """Return draws that cross and mutate parents, better ones more often, until there are enough different children.

    Args:
        parents: the molecules, the best first.
        vocabulary: the vocabulary, which must be able to express a child.
    """
    molecules = [Chem.MolFromSmiles(text) for text in parents]
    weights = np.arange(len(parents), 0, -1) / (len(parents) * (len(parents) + 1) / 2)
    rng = np.random.default_rng(0)

    def draw(n: int) -> Sequence[str]:
        found: dict[str, None] = {}
        known = set(parents)
        with rdBase.BlockLogs():
            while len(found) < n:
                one, other = (molecules[place] for place in rng.choice(len(molecules), 2, p=weights))
                child = _crossed(one, other, rng) if rng.random() < 0.8 else one
                if child is not None and (child is one or rng.random() < 0.5):
                    child = _edited(child, rng)
                text = None if child is None else Chem.MolToSmiles(child)
                if text is not None and text not in known and encodable(text, vocabulary):
                    found[text] = None
        return list(found)

    return draw


def _crossed(one: Chem.Mol, other: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """Return a child of two molecules: a part of each, cut at a bond outside of rings, and joined there."""
    for _ in range(10):
        parts = []
        for parent in (one, other):
            cuts = parent.GetSubstructMatches(CUT)
            if not cuts:
                return None
            bond = parent.GetBondBetweenAtoms(*cuts[rng.integers(len(cuts))]).GetIdx()
            cut = Chem.FragmentOnBonds(parent, [bond], dummyLabels=[(1, 1)])
            parts.append(Chem.GetMolFrags(cut, asMols=True)[rng.integers(2)])
        children = [made[0] for made in JOIN.RunReactants(parts) if is_drug_like(made[0])]
        if children:
            return children[rng.integers(len(children))]
    return None


def _edited(molecule: Chem.Mol, rng: np.random.Generator) -> Chem.Mol | None:
    """Return a molecule after one of the edits, chosen among all products of a reaction."""
    for _ in range(10):
        kekule = Chem.Mol(molecule)
        Chem.Kekulize(kekule, clearAromaticFlags=True)
        made = [product[0] for product in EDITS[rng.integers(len(EDITS))].RunReactants([kekule])]
        sound = [each for each in made if is_drug_like(each)]
        if sound:
            return sound[rng.integers(len(sound))]
    return None


def is_drug_like(molecule: Chem.Mol) -> bool:
    """Return whether a product is a single molecule of at most 50 atoms without large rings."""
    if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return False
    largest = max(map(len, molecule.GetRingInfo().AtomRings()), default=0)
    return molecule.GetNumAtoms() <= 50 and largest <= 8 and len(Chem.GetMolFrags(molecule)) == 1


def canonical(smiles: str) -> str | None:
    molecule = Chem.MolFromSmiles(smiles)
    return None if molecule is None else str(Chem.MolToSmiles(molecule))
