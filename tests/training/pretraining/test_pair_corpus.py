"""Pairs of a file: read, cleaned, split by their sources, learned from and judged."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import judge_pairs
from molbuffer.scoring.pairs import ContrastiveTemplate
from molbuffer.training.pretraining.pair_corpus import CleanPairs, FilePair, PairCorpus, clean_pairs, read_pairs
from molbuffer.training.pretraining.pretrain import pretrain
from molbuffer.training.pretraining.quality import pair_quality
from molbuffer.training.pretraining.settings import PretrainSettings

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))


@pytest.fixture(scope="module")
def corpus() -> PairCorpus:
    """Chains, each with itself and one more carbon."""
    rng = np.random.default_rng(0)
    sources = ["".join(rng.choice(["C", "N", "O"], int(rng.integers(2, 6)))) for _ in range(300)]
    pairs = [
        FilePair(2 + line, source, target)
        for line, source in enumerate(sources)
        for target in (source + "C", "C" + source)
    ]
    return PairCorpus.split_pairs(clean_pairs(pairs), CHAINS, held_out=40, seed=1)


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet"])
def test_pairs_are_read_by_their_columns_with_their_lines(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"before": ["C", "CC", None], "other": [1, 2, 3], "after": ["CO", None, "CN"]})
    path = tmp_path / name
    table.write_csv(path) if name.endswith("csv") else table.write_parquet(path)
    first = 2 if name.endswith("csv") else 1
    assert read_pairs(path, "before", "after") == [
        FilePair(first, "C", "CO"),
        FilePair(first + 1, "CC", ""),
        FilePair(first + 2, "", "CN"),
    ]
    with pytest.raises(SmilesFileError, match=r"'source'.*before, other, after"):
        read_pairs(path)


def test_distinct_pairs_of_two_molecules_are_kept_and_others_reported() -> None:
    pairs = [
        FilePair(2, "OCC", "CCN"),
        FilePair(3, "CCO", "NCC"),  # the same pair
        FilePair(4, "CCO", "C(N)C.Cl"),  # the same without its salt
        FilePair(5, "CC(", "CCN"),
        FilePair(6, "CCO", ""),
        FilePair(7, "OCC", "CCO"),
        FilePair(8, "CCO", "CCBr"),
        FilePair(9, "CCN", "OCC"),
    ]
    clean = clean_pairs(pairs, CHAINS)
    assert list(zip(clean.sources, clean.targets, strict=True)) == [("CCO", "CCN"), ("CCN", "CCO")]
    assert clean.duplicates == 2
    assert [(row.line, row.reason.split(":")[0]) for row in clean.rejected[:3]] == [
        (5, "the source is no molecule"),
        (6, "the target is no molecule"),
        (7, "the target is the source"),
    ]
    assert clean.rejected[3].line == 8 and "'Br'" in clean.rejected[3].reason


def test_a_held_out_source_is_the_source_of_no_training_pair(corpus: PairCorpus) -> None:
    sources = [{corpus.sources[row] for row in rows.tolist()} for rows in (corpus.held_out, corpus.training)]
    assert not sources[0] & sources[1]
    assert sorted([*corpus.held_out.tolist(), *corpus.training.tolist()]) == list(range(len(corpus.sources)))
    assert 1 <= len(corpus.held_out) <= len(corpus.sources) // 10
    counts = np.unique([corpus.sources[row] for row in corpus.held_out.tolist()], return_counts=True)[1]
    assert counts.max() == 2  # all pairs of a source are on one side


def test_a_source_with_most_of_the_pairs_is_trained_on() -> None:
    pairs = CleanPairs(["C"] * 30 + ["CC", "CCC"], ["O" * (1 + row) for row in range(32)], (), 0)
    for seed in range(6):
        split = PairCorpus.split_pairs(pairs, CHAINS, held_out=5, seed=seed)
        assert {split.sources[row] for row in split.held_out.tolist()} == {"CC", "CCC"}
    few = CleanPairs(["C", "C", "CC"], ["O", "OO", "OOO"], (), 0)
    assert PairCorpus.split_pairs(few, CHAINS, held_out=5, seed=0).held_out.tolist() == [2]
    with pytest.raises(ValueError, match=r"\['C'\]"):
        PairCorpus.split_pairs(CleanPairs(["C", "C"], ["O", "OO"], (), 0), CHAINS, held_out=5, seed=0)


def test_a_batch_is_conditioned_on_the_sources_of_its_rows(corpus: PairCorpus) -> None:
    rows = np.array([7, 3, 11])
    batch = corpus.batch(rows)
    sources, lengths = batch.condition.sources_of(3)
    assert CHAINS.decode(sources.numpy(), lengths.numpy()) == [corpus.sources[row] for row in rows]
    assert CHAINS.decode(batch.tokens.numpy(), batch.lengths.numpy()) == [corpus.smiles[row] for row in rows]
    assert sources.shape[1] == lengths.max()


def test_a_model_learns_pairs_and_is_judged_by_sources_it_has_not_seen(corpus: PairCorpus) -> None:
    torch.manual_seed(0)
    model = Seq2SeqModel(
        Seq2SeqArchitecture(len(CHAINS), hidden_size=32, encoder_layers=1, decoder_layers=1, heads=2, max_length=12)
    )
    settings = PretrainSettings(epochs=25, batch_size=32, learning_rate=5e-3, warmup_steps=10, seed=3, patience=99)
    before = pair_quality(Policy(model.eval(), CHAINS, "new"), corpus, 100, seed=1)
    nll = pretrain(model, corpus, settings)
    after = pair_quality(Policy(model.eval(), CHAINS, "trained"), corpus, 100, seed=1)
    # Each source has two targets, so that no model can be better than ln 2 but for sources where these are one.
    assert nll < 2.5
    assert after["drawn"] == before["drawn"] == len(corpus.held_out)
    assert after["validity"] > 0.9
    assert after["within_similarity"] > max(0.6, before["within_similarity"])
    assert 0 < after["min_similarity"] <= after["max_similarity"] <= 1


def test_shares_are_of_what_was_drawn(corpus: PairCorpus) -> None:
    torch.manual_seed(0)
    model = Seq2SeqModel(
        Seq2SeqArchitecture(len(CHAINS), hidden_size=16, encoder_layers=1, decoder_layers=1, heads=2, max_length=12)
    ).eval()
    found = pair_quality(Policy(model, CHAINS, "new"), corpus, 10, seed=2)
    assert found["drawn"] == 10
    rows = np.random.default_rng(2).permutation(corpus.held_out)[:10].tolist()
    sources, targets = [corpus.sources[row] for row in rows], [corpus.smiles[row] for row in rows]
    given = [each.similarity for each in judge_pairs(targets, sources, (), ContrastiveTemplate())]
    assert (found["min_similarity"], found["max_similarity"]) == (min(given), max(given))
    assert found["within_similarity"] <= found["validity"]
