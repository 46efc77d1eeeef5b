"""R19: rows of the history in a training, drawn live."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.errors import SamplerError
from molbuffer.samplers.history import HistorySampler, RunHistory
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.history.selections import Selection, TopK, Uniform
from molbuffer.storage.records import Build
from molbuffer.training.batches.buffer import BUFFER
from molbuffer.training.errors import BatchShortError
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.loop import commit_checkpoint


def recalling(
    size: SamplerSize, choice: Selection = Uniform(), runs: Sequence[str] | None = ("run",), name: str = "again"
) -> Any:
    """What adds a sampler of the history to a lab's own."""

    def make(lab: Any, writer: HistoryWriter) -> list[HistorySampler]:
        view = RunHistory(
            lab.store,
            lab.run_id,
            objective_sha256=lab.objective.sha256,
            vocabulary=lab.prior.vocabulary,
            settled=writer.settled,
            runs=None if runs is None else tuple(runs),
        )
        return [HistorySampler(name, view, lab.prior.vocabulary, selection=choice, size=size)]

    return make


def train(training: Any, checkpoint_every: int = 2) -> list[Any]:
    """All batches, committed every few iterations as the fit loop does."""
    found = []
    with training.writer as writer:
        for mixed in training.loader:
            found.append(mixed)
            writer.add(mixed.batch.iteration, mixed.origin, {})
            if training.loader.iteration % checkpoint_every == 0:
                commit_checkpoint(training.learner, training.loader, writer)
    return found


def stored(lab: Any) -> dict[Any, tuple[list[int], float]]:
    """Tokens and reward of each stored row that can be trained on."""
    index = lab.store.index(IndexScope(objective_sha256=lab.objective.sha256))
    positions = np.arange(len(index))
    rows = index.gather(positions)
    tokens = [row[:length].tolist() for row, length in zip(rows.tokens, rows.lengths, strict=True)]
    return dict(zip(index.row_ids(positions), zip(tokens, rows.rewards.tolist(), strict=True), strict=True))


def lag(build: Build) -> float | None:
    """The metric of a build."""
    (value,) = [metric.value for metric in build.metrics if metric.name == "policy_lag"]
    return value


def test_r19_stored_rows_join_the_live_ones_and_are_not_stored_again(lab: Any) -> None:
    again = recalling(SamplerSize(p_batch=0.25), TopK(4))
    training = lab.adapted(iterations=6, batch_size=8, p_batch=0.5, more_samplers=again).start()
    batches = train(training)
    counts = [Counter(mixed.batch.origins) for mixed in batches]
    # Nothing is settled before the first checkpoint: the buffer gives what the history owes.
    assert counts[0] == counts[1] == {"agent": 4, BUFFER: 4}
    assert [mixed.origin.shortfall for mixed in batches] == [2, 2, 0, 0, 0, 0]
    assert all(count == {"agent": 4, "again": 2, BUFFER: 2} for count in counts[2:])
    known = stored(lab)
    for mixed in batches[2:]:
        (build,) = [build for build in mixed.origin.live if build.sampler == "again"]
        assert (len(build.samples), len(build.references), build.sampler_kind) == (0, 2, "history")
        ages = [build.iteration - lab.store.build(row.build_id).build.iteration for row in build.references]
        assert lag(build) == sum(ages) / 2
        places = [place for place, origin in enumerate(mixed.batch.origins) if origin == "again"]
        for place, row in zip(places, build.references, strict=True):
            tokens, reward = known[row]
            length = int(mixed.batch.lengths[place])
            assert mixed.batch.tokens[place, :length].tolist() == tokens
            assert float(mixed.batch.rewards[place]) == pytest.approx(reward)
            assert mixed.batch.behaviour_log_probs[place, :length].isfinite().all()
            assert lab.store.build(row.build_id).build.iteration < mixed.batch.iteration // 2 * 2
    said = lab.store.read_arrow("SELECT DISTINCT sampler FROM {sample_history}")["sampler"].to_pylist()
    assert said == ["agent"]
    figures = lab.store.read_arrow(
        "SELECT name, min(value) AS low, max(value) AS high FROM {metrics} WHERE sampler = 'again' AND iteration >= 2 "
        "AND name IN ('drawn', 'kept', 'valid', 'new', 'shortfall') GROUP BY name"
    ).to_pylist()
    assert {row["name"]: (row["low"], row["high"]) for row in figures} == {
        "drawn": (2, 2), "kept": (2, 2), "valid": (1, 1), "new": (0, 0), "shortfall": (0, 0),
    }  # fmt: skip


def test_other_runs_are_read_as_they_were_at_the_start(lab: Any) -> None:
    lab.adapted(run_id="earlier", iterations=2).start().fit()
    again = recalling(SamplerSize(p_batch=0.25), runs=None)
    training = lab.adapted(iterations=1, batch_size=8, more_samplers=again).start()
    (mixed,) = train(training)
    (build,) = [build for build in mixed.origin.live if build.sampler == "again"]
    assert {lab.store.build(row.build_id).build.run_id for row in build.references} == {"earlier"}
    assert lag(build) is None, "the policies of another run are of no age in this one"
    assert mixed.origin.shortfall == 0


def test_the_buffer_is_given_no_row_that_it_has(lab: Any) -> None:
    again = recalling(SamplerSize(buffer_size=3))
    training = lab.adapted(iterations=1, batch_size=8, p_batch=0.0, buffer_size=8, more_samplers=again).start()
    with pytest.raises(SamplerError, match="'again' gives stored rows, which the buffer has already"):
        train(training)


def test_an_empty_history_is_a_shortfall_and_then_an_error_with_counts(lab: Any) -> None:
    again = recalling(SamplerSize(p_batch=0.5))
    alone = lab.adapted(iterations=1, batch_size=8, p_batch=0.0, buffer_size=0, more_samplers=again).start()
    with pytest.raises(BatchShortError) as caught:
        train(alone)
    assert (caught.value.wanted, caught.value.available) == (4, 0)
    live = recalling(SamplerSize(p_batch=0.5))
    both = lab.adapted(run_id="both", iterations=1, batch_size=8, p_batch=0.5, buffer_size=0, more_samplers=live)
    (mixed,) = train(both.start())
    # Without a buffer, the other sampler makes up for it.
    assert (Counter(mixed.batch.origins), mixed.origin.shortfall) == ({"agent": 8}, 4)


def test_rows_of_another_vocabulary_are_encoded_again(lab: Any) -> None:
    lab.adapted(run_id="earlier", iterations=1).start().fit()
    wider = Vocabulary((*RESERVED, "S", "O", "N", "C"))
    view = RunHistory(lab.store, "later", objective_sha256=lab.objective.sha256, vocabulary=wider, settled=lambda: 0)
    recalled = HistorySampler("again", view, wider).recall(10, seed=1)
    known = stored(lab)
    ours = lab.prior.vocabulary
    assert len(recalled) == 10
    for row, tokens, length in zip(recalled.ids, recalled.drawn.rows.tokens, recalled.drawn.rows.lengths, strict=True):
        theirs = known[row][0]
        assert wider.decode(tokens[None], [length]) == ours.decode(np.array([theirs]), np.array([len(theirs)]))
    inside = np.arange(recalled.drawn.rows.tokens.shape[1]) < recalled.drawn.rows.lengths[:, None]
    assert np.isnan(recalled.drawn.rows.log_probs[inside]).all()
    assert not recalled.drawn.rows.log_probs[~inside].any()
    narrow = Vocabulary((*RESERVED, "C"))
    few = RunHistory(lab.store, "later", objective_sha256=lab.objective.sha256, vocabulary=narrow, settled=lambda: 0)()
    assert set(few.raw(np.arange(len(few)))) == {
        text for text in ("".join(ours.tokens[token] for token in tokens[:-1]) for tokens, _ in known.values())
        if set(text) == {"C"}
    }  # fmt: skip
