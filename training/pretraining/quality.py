"""The quality of a pretrained model: of its draws, of the targets that it draws for sources, of its latent vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from molbuffer.samplers import Policy, draw_rows, encode_molecules, torch_generator
from molbuffer.samplers.models import UNTRUNCATED, Condition, Sampling
from molbuffer.scoring import ContrastiveTemplate, Standardisation, judge_pairs, standardise_many
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.pair_corpus import PairCorpus

GREEDY = Sampling(top_k=1)
"""Greedy decoding: the likeliest token at each position."""


def draw_quality(smiles: Sequence[str], known: set[str]) -> dict[str, Any]:
    """Return validity, uniqueness and novelty of drawn strings, after Brown et al. 2019 (GuacaMol, arXiv:1811.09621).

    validity = parseable / drawn; uniqueness = different molecules / parseable; novelty = different molecules that are
    not in ``known`` (canonical SMILES) / different molecules. A share of no molecules is None.
    """
    parseable = [text for text in standardise_many(smiles) if text is not None]
    unique = set(parseable)
    return {
        "drawn": len(smiles),
        "validity": len(parseable) / len(smiles) if smiles else None,
        "uniqueness": len(unique) / len(parseable) if parseable else None,
        "novelty": len(unique - known) / len(unique) if unique else None,
    }


def pair_quality(policy: Policy, corpus: PairCorpus, draws: int, seed: int) -> dict[str, Any]:
    """Draw one target for each source of at most ``draws`` held-out pairs, and return metrics of the targets by name.

    Returns:
        ``drawn``: the number of draws; ``validity``: parseable / drawn; ``uniqueness``: different molecules /
        parseable; ``min_similarity`` and ``max_similarity``: the least and the largest similarity of these sources to
        their targets in the file; ``within_similarity``: targets with a similarity to their source between these two,
        other than the source itself / drawn.
    """
    rows = np.random.default_rng(seed).permutation(corpus.held_out)[:draws]
    drawn = draw_rows(policy, len(rows), UNTRUNCATED, torch_generator(seed, "pairs"), corpus.condition(rows))
    sources, given = ([column[row] for row in rows.tolist()] for column in (corpus.sources, corpus.smiles))
    how, template = Standardisation(largest_fragment=True), ContrastiveTemplate()
    known = [each.similarity for each in judge_pairs(given, sources, (), template, how) if each.similarity is not None]
    low, high = min(known), max(known)
    judged = judge_pairs(drawn.raw, sources, (), template, how)
    parseable = [each for each in judged if each.target.smiles is not None]
    within = [
        each for each in parseable if low <= (each.similarity or 0.0) <= high and each.target.smiles != each.source
    ]
    return {
        "drawn": len(rows),
        "validity": len(parseable) / len(rows),
        "uniqueness": len({each.target.smiles for each in parseable}) / len(parseable) if parseable else None,
        "min_similarity": low,
        "max_similarity": high,
        "within_similarity": len(within) / len(rows),
    }


def reconstruction_accuracy(policy: Policy, corpus: Corpus, most: int) -> float:
    """Return the share of at most ``most`` held-out molecules that the model reconstructs from their latent vectors.

    A molecule is encoded as the mean of its posterior and decoded greedily; another string of the same molecule counts
    as reconstructed.
    """
    smiles = [corpus.smiles[row] for row in corpus.held_out[:most].tolist()]
    with torch.no_grad():
        latents = encode_molecules(policy, smiles, "evaluation")
    drawn = draw_rows(policy, len(latents), GREEDY, torch_generator(0), Condition(latents=latents))
    pairs = zip(standardise_many(drawn.raw), standardise_many(smiles), strict=True)
    return sum(found == wanted for found, wanted in pairs) / len(smiles)
