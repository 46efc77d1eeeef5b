"""The data of a pretraining: molecules of a file, or pairs for a conditional model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molbuffer.samplers import (
    SMILES,
    Grammar,
    ModelSampler,
    Policy,
    SmilesFileError,
    Vocabulary,
    derive_seed,
    read_columns,
    read_smiles_file,
    report_rows,
)
from molbuffer.samplers.models import MODELS, LatentModel
from molbuffer.training.pretraining.corpus import Corpus, clean_molecules
from molbuffer.training.pretraining.elbo import NegativeELBO
from molbuffer.training.pretraining.pair_corpus import (
    SOURCE_COLUMN,
    TARGET_COLUMN,
    PairCorpus,
    clean_pairs,
    read_pairs,
)
from molbuffer.training.pretraining.pretrain import held_out_loss
from molbuffer.training.pretraining.quality import draw_quality, pair_quality, reconstruction_accuracy
from molbuffer.training.pretraining.settings import Columns, PretrainSettings

FEWEST_ROWS = 20
"""The fewest molecules or pairs that a model can be trained and validated on."""


@dataclass(frozen=True)
class PretrainData:
    """Tokenised rows of a file, and the evaluation of a model that was trained on them.

    Attributes:
        corpus: the rows.
        vocabulary: the vocabulary of the rows.
        counts: the numbers of used and of rejected rows of the file, by name.
        judge: a function that returns metrics of the quality of a policy, given (policy, number of draws, seed).
    """

    corpus: Corpus
    vocabulary: Vocabulary
    counts: dict[str, int]
    judge: Callable[[Policy, int, int], dict[str, Any]]


def data_of(
    kind: str,
    path: Path,
    settings: PretrainSettings,
    *,
    columns: Columns = Columns(),
    known: Vocabulary | None = None,
    grammar: Grammar = SMILES,
) -> PretrainData:
    """Read the rows that a model of a kind learns from, and report rejected rows of the file with their lines.

    Args:
        kind: the kind of the model, which learns molecules or pairs.
        path: the file.
        settings: the settings of the training, for the split.
        columns: the columns of a table.
        known: the vocabulary of the policy that the training starts from; None makes a vocabulary of the tokens in the
            file.
        grammar: the grammar of a new vocabulary.

    Raises:
        SmilesFileError: the file cannot be read or has too few rows, or a column is named that this kind does not
            read.
    """
    learns_pairs = _learns_pairs(kind, path, columns)
    return (_pairs_of if learns_pairs else _molecules_of)(path, columns, known, settings, grammar)


def check_columns(kind: str, path: Path, columns: Columns) -> None:
    """Check by the first rows of a file that it has the columns that a model of a kind learns from.

    Raises:
        SmilesFileError: the file cannot be read, or a column is named that this kind does not read or the file lacks.
    """
    if _learns_pairs(kind, path, columns):
        wanted: list[str | None] = [columns.sources or SOURCE_COLUMN, columns.targets or TARGET_COLUMN]
    else:
        wanted = [columns.molecules]
    next(read_columns(path, wanted))


def _learns_pairs(kind: str, path: Path, columns: Columns) -> bool:
    learns_pairs = bool(MODELS[kind].learns_pairs)
    if learns_pairs and columns.molecules is not None:
        raise SmilesFileError(
            path, f"the model {kind!r} learns pairs: name a source_column and a target_column, not a column"
        )
    if not learns_pairs and (columns.sources or columns.targets):
        raise SmilesFileError(
            path,
            f"the model {kind!r} learns molecules, not pairs: name a column, not a source_column or target_column",
        )
    return learns_pairs


def _molecules_of(
    path: Path, columns: Columns, known: Vocabulary | None, settings: PretrainSettings, grammar: Grammar
) -> PretrainData:
    molecules = clean_molecules(read_smiles_file(path, columns.molecules), known, grammar)
    report_rows(str(path), molecules.rejected)
    _check_size(path, len(molecules.smiles), "different molecules")
    vocabulary = known or Vocabulary.from_smiles(molecules.smiles, grammar)
    corpus = Corpus.split(molecules.smiles, vocabulary, settings.held_out, settings.seed)
    trained_on = set(molecules.smiles)

    def judge(policy: Policy, draws: int, seed: int) -> dict[str, Any]:
        drawn = ModelSampler("evaluation", lambda: policy).draw(draws, derive_seed(seed, "evaluation"))
        quality = draw_quality(drawn.raw, trained_on)
        if isinstance(policy.model, LatentModel):
            # The loss of the training may have another β; it bounds the negative log-likelihood only with β = 1.
            quality["held_out_nll"] = held_out_loss(policy.model, corpus, settings.batch_size, NegativeELBO())
            quality["reconstruction"] = reconstruction_accuracy(policy, corpus, draws)
        return quality

    return PretrainData(
        corpus, vocabulary, {"molecules": len(molecules.smiles), "rejected": len(molecules.rejected)}, judge
    )


def _pairs_of(
    path: Path, columns: Columns, known: Vocabulary | None, settings: PretrainSettings, grammar: Grammar
) -> PretrainData:
    names = columns.sources or SOURCE_COLUMN, columns.targets or TARGET_COLUMN
    pairs = clean_pairs(read_pairs(path, *names), known, grammar)
    report_rows(str(path), pairs.rejected)
    _check_size(path, len(pairs), "different pairs")
    if len(set(pairs.sources)) < 2:
        raise SmilesFileError(path, "it has pairs of one source only; a conditional model needs several sources")
    vocabulary = known or Vocabulary.from_smiles([*pairs.sources, *pairs.targets], grammar)
    corpus = PairCorpus.split_pairs(pairs, vocabulary, settings.held_out, settings.seed)
    return PretrainData(
        corpus,
        vocabulary,
        {"pairs": len(pairs), "rejected": len(pairs.rejected)},
        lambda policy, draws, seed: pair_quality(policy, corpus, draws, seed),
    )


def _check_size(path: Path, found: int, of_what: str) -> None:
    if found < FEWEST_ROWS:
        raise SmilesFileError(path, f"it has {found} {of_what}; a model needs at least {FEWEST_ROWS}")
