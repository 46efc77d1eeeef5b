"""R19: what is drawn from the history is what was stored, with its identity, for whoever draws from it."""

from typing import Any

import numpy as np
import pytest

from molbuffer.samplers.base import concatenate
from molbuffer.samplers.history import HistorySampler, RunHistory
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.history.selections import AboveQuantile
from molbuffer.storage.records import Build, Commit, Event, Reward, RowId, Run, RunKind, Samples
from molbuffer.storage.rows import Rows

OBJECTIVE = "objective-1"


def pairs(vocabulary: Vocabulary, targets: list[str], sources: list[str | None], rows: list[RowId | None]) -> Samples:
    """Pairs with latents that tell them apart."""
    tokens, lengths = vocabulary.encode_many(targets)
    source_tokens, source_lengths = vocabulary.encode_many([text or "" for text in sources])
    there = np.array([text is not None for text in sources])
    return Samples(
        raw=targets,
        smiles=targets,
        rejected_by=[None] * len(targets),
        rows=Rows(
            tokens=tokens,
            lengths=lengths,
            log_probs=-np.arange(tokens.size, dtype=np.float32).reshape(tokens.shape) / 7,
            vocabulary_sha256=vocabulary.sha256,
            latents=np.arange(2 * len(targets), dtype=np.float32).reshape(-1, 2),
            latent_log_probs=-np.arange(len(targets), dtype=np.float32),
            source_tokens=np.where(there[:, None], source_tokens, 0),
            source_lengths=np.where(there, source_lengths, 0).astype(np.int32),
        ),
        source_smiles=sources,
        source_rows=rows,
    )


def commit(store: SampleStore, run_id: str, iteration: int, samples: Samples, rewards: list[float]) -> Build:
    store.start_run(Run(run_id, "test", RunKind.TRAIN, "{}", 1))
    given = [Reward(row, OBJECTIVE, value) for row, value in enumerate(rewards)]
    build = Build(run_id, iteration, Event.BUILD_BUFFER, "pairs", "contrastive", samples, rewards=given)
    store.commit(Commit([build]))
    return build


def sampler(store: SampleStore, vocabulary: Vocabulary, settled: int = 1, **view: Any) -> HistorySampler:
    history = RunHistory(
        store, "run", objective_sha256=OBJECTIVE, vocabulary=vocabulary, settled=lambda: settled, **view
    )
    return HistorySampler("again", history, vocabulary)


@pytest.fixture
def stored(store: SampleStore, vocabulary: Vocabulary) -> Build:
    sources: list[str | None] = ["CCO", None, "c1ccccc1"]
    rows = [RowId("elsewhere", 7), None, None]
    return commit(store, "run", 0, pairs(vocabulary, ["CCN", "CC", "c1ccncc1"], sources, rows), [0.2, 0.9, 0.9])


def test_every_column_is_that_of_its_row(store: SampleStore, vocabulary: Vocabulary, stored: Build) -> None:
    recalled = sampler(store, vocabulary).recall(3, seed=4)
    drawn, samples = recalled.drawn, stored.samples
    assert samples.rows.latents is not None and samples.rows.latent_log_probs is not None
    assert (
        drawn.rows.latents is not None and drawn.rows.latent_log_probs is not None and drawn.source_smiles is not None
    )
    assert sorted(row.row for row in recalled.ids) == [0, 1, 2]
    for place, row in enumerate(recalled.ids):
        assert row.build_id == stored.build_id
        assert drawn.raw[place] == recalled.smiles[place] == samples.raw[row.row]
        length = samples.rows.lengths[row.row]
        assert drawn.rows.lengths[place] == length
        assert drawn.rows.log_probs[place, :length].tolist() == samples.rows.log_probs[row.row, :length].tolist()
        assert drawn.rows.latents[place].tolist() == samples.rows.latents[row.row].tolist()
        assert drawn.rows.latent_log_probs[place] == samples.rows.latent_log_probs[row.row]
        assert drawn.source_smiles[place] == ["CCO", "", "c1ccccc1"][row.row]
        assert (drawn.rows.source_lengths[place] == 0) == (row.row == 1)
        assert drawn.source_rows[place] == (RowId("elsewhere", 7) if row.row == 0 else None)
        assert recalled.rewards[place] == [0.2, 0.9, 0.9][row.row]
    assert drawn.stored == recalled.ids


def test_a_draw_of_rows_that_are_no_pairs_asks_nothing_of_the_store(
    store: SampleStore, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    smiles = ["CCN", "CC", "c1ccncc1"]
    tokens, lengths = vocabulary.encode_many(smiles)
    log_probs = np.zeros(tokens.shape, np.float32)
    rows = Rows(tokens=tokens, lengths=lengths, log_probs=log_probs, vocabulary_sha256=vocabulary.sha256)
    commit(store, "run", 0, Samples(smiles, smiles, [None] * 3, rows), [1] * 3)
    index = store.index(IndexScope(objective_sha256=OBJECTIVE))
    again = HistorySampler("again", lambda: index, vocabulary)
    recalled = again.recall(3, seed=4)
    monkeypatch.setattr(SampleStore, "read_arrow", None)
    assert again.draw(3, seed=4).stored == recalled.ids


def test_a_draw_is_one_of_its_seed_and_parts_of_draws_keep_their_identities(
    store: SampleStore, vocabulary: Vocabulary, stored: Build
) -> None:
    again = sampler(store, vocabulary)
    first, second = again.draw(2, seed=1), again.draw(2, seed=2)
    assert sampler(store, vocabulary).draw(2, seed=1).stored == first.stored
    assert first.stored is not None and second.stored is not None
    both = concatenate([first, second])
    assert both.stored == [*first.stored, *second.stored]
    assert both.raw == [stored.samples.raw[row.row] for row in both.stored if row is not None]


def test_own_rows_are_seen_once_they_are_settled(store: SampleStore, vocabulary: Vocabulary, stored: Build) -> None:
    commit(store, "run", 3, pairs(vocabulary, ["CCCC"], [None], [None]), [0.5])
    settled = 0
    history = RunHistory(store, "run", objective_sha256=OBJECTIVE, vocabulary=vocabulary, settled=lambda: settled)
    again = HistorySampler("again", history, vocabulary)
    assert len(again.draw(9, seed=0)) == 0
    settled = 3
    assert {row.build_id for row in again.recall(9, seed=0).ids} == {stored.build_id}
    before = history()
    assert history() is before
    settled = 4
    assert len(again.draw(9, seed=0)) == 4


def test_rows_of_other_runs_are_those_of_the_pinned_version(
    store: SampleStore, vocabulary: Vocabulary, stored: Build
) -> None:
    other = commit(store, "other", 8, pairs(vocabulary, ["CCCC"], [None], [None]), [0.5])
    pinned = store.snapshot()
    commit(store, "other", 9, pairs(vocabulary, ["CCCCC"], [None], [None]), [0.5])
    again = sampler(store, vocabulary, foreign_snapshot=pinned)
    assert sorted(again.draw(9, seed=0).raw) == ["CC", "CCCC", "CCN", "c1ccncc1"]
    listed = sampler(store, vocabulary, foreign_snapshot=pinned, runs=("other",)).recall(9, seed=0)
    assert listed.ids == [RowId(other.build_id, 0)]
    assert sampler(store, vocabulary, where="smiles LIKE 'c%'").draw(9, seed=0).raw == ["c1ccncc1"]
    best = HistorySampler("again", again.history, vocabulary, selection=AboveQuantile(1.0))
    assert sorted(best.draw(9, seed=0).raw) == ["CC", "c1ccncc1"]


def test_an_empty_history_gives_no_rows(store: SampleStore, vocabulary: Vocabulary) -> None:
    recalled = sampler(store, vocabulary).recall(5, seed=0)
    assert (len(recalled), len(recalled.drawn), recalled.drawn.rows.tokens.shape[0]) == (0, 0, 0)


def test_pairs_of_another_vocabulary_are_encoded_again_at_both_ends_or_left_out(
    store: SampleStore, vocabulary: Vocabulary, stored: Build
) -> None:
    reversed_order = Vocabulary((*vocabulary.tokens[:3], *reversed(vocabulary.tokens[3:])))
    drawn = sampler(store, reversed_order).draw(9, seed=0)
    assert sorted(drawn.raw) == sorted(stored.samples.raw)
    assert (
        drawn.source_smiles is not None and drawn.rows.latents is not None and drawn.rows.latent_log_probs is not None
    )
    assert dict(zip(drawn.raw, drawn.source_smiles, strict=True)) == {"CCN": "CCO", "CC": "", "c1ccncc1": "c1ccccc1"}
    assert reversed_order.decode(drawn.rows.source_tokens, drawn.rows.source_lengths) == list(drawn.source_smiles)
    assert np.isnan(drawn.rows.latents).all() and np.isnan(drawn.rows.latent_log_probs).all()
    without_oxygen = Vocabulary(tuple(token for token in vocabulary.tokens if token != "O"))
    assert sorted(sampler(store, without_oxygen).draw(9, seed=0).raw) == ["CC", "c1ccncc1"]
