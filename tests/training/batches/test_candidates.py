"""R7, R32: what is replayed is all that the run has drawn so far, in the history's order, committed or not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import Uniform
from molbuffer.storage.history.index import IndexScope
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.batches.candidates import Candidates
from molbuffer.training.batches.ranking import IndexRanking, best_of_each, joint_ranking
from molbuffer.training.fit.loop import commit_checkpoint

COLUMNS = ("rewards", "iterations", "molecules", "own", "best_first", "best_of_each_molecule")


def assert_same(found: Candidates, expected: Candidates, vocabulary: Vocabulary) -> None:
    """Rows of the one are those of the other, at the same positions."""
    assert len(found) == len(expected)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    numbers = (
        np.unique(found.run_numbers, return_inverse=True)[1],
        np.unique(expected.run_numbers, return_inverse=True)[1],
    )
    assert len(set(zip(*(each.tolist() for each in numbers), strict=True))) == len(set(numbers[0].tolist()))
    positions = np.random.default_rng(0).permutation(len(found))
    assert found.row_ids(positions) == expected.row_ids(positions)
    assert found.smiles(positions) == expected.smiles(positions)
    assert found.own_iterations(positions) == expected.own_iterations(positions)
    assert found.latents_of(positions) == expected.latents_of(positions)
    for some in (positions, positions[:3], positions[:0], np.flatnonzero(found.own)[-2:]):
        one, other = found.read(some, vocabulary), expected.read(some, vocabulary)
        for name in ("tokens", "lengths", "log_probs", "rewards"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.fixture
def mixed(lab: Any, chains: Vocabulary, tmp_path: Path) -> Any:
    """A training of two samplers beside the rows of another run, which were drawn with the same objective."""
    lab.adapted(run_id="earlier", iterations=2).start().fit()
    (tmp_path / "chains.smi").write_text("CCC\nCCO\nC(\nCNC\nCOC\nNCN\nCC(\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        known = DatasetSampler("known", tmp_path / "chains.smi", chains, size=SamplerSize(0, 0.25))
        return [known, ModelSampler("agent", policy, size=SamplerSize(12, 0.5))]

    return lab.adapted(batch_size=12, iterations=5, build_every=3, make_samplers=samplers, train_on_invalid=True)


def of_all_runs(training: Any) -> Buffer:
    """A buffer like that of a training, with the rows of other runs as well."""
    old = training.loader.buffer
    view = BufferView(
        old.view.objective_sha256, "run", snapshot=old.snapshot, train_on_invalid=old.view.train_on_invalid
    )
    return Buffer(old.store, view, old.selection, old.vocabulary, old.replay)


def test_live_rows_are_where_the_index_will_have_them(mixed: Any) -> None:
    training = mixed.start()
    training.loader.buffer = of_all_runs(training)
    buffer, sizes = training.loader.buffer, []
    with training.writer as writer:
        for batch in training.loader:
            sizes.append(len(buffer.candidates))
            writer.add(batch.batch.iteration, batch.origin, {})
    live = sum(map(len, buffer.candidates.live))
    assert sizes[1] - sizes[0] > 9, "each batch adds its rows"
    assert live > 18 and len({each.sampler for each in buffer.candidates.live}) == 2
    assert any(text is None for each in buffer.candidates.live for text in each.smiles), "what is no molecule, too"
    with training.writer as writer:
        commit_checkpoint(training.learner, training.loader, writer)
    # The same rows, all of them committed, in one index.
    later = of_all_runs(mixed.start())
    later.view = buffer.view
    later.pin(mixed.store.snapshot(), training.loader.iteration - 1)
    assert not later.candidates.live and np.count_nonzero(~later.candidates.own) > 0
    assert_same(buffer.candidates, later.candidates, buffer.vocabulary)
    # And the same live rows, read from the store, after those of the snapshot that was pinned.
    state = training.loader.state_dict()
    again = of_all_runs(mixed.start())
    again.view = buffer.view
    again.pin(state["snapshot"], state["up_to_iteration"], drawn_before=state["iteration"])
    assert [each.build_id for each in again.candidates.live] == [each.build_id for each in buffer.candidates.live]
    assert_same(again.candidates, buffer.candidates, buffer.vocabulary)
    np.testing.assert_array_equal(again.delivered, buffer.delivered)
    assert (buffer.delivered[buffer.candidates.own][-live:] == 1).all(), "live rows count as consumed"


@dataclass
class Stored:
    """What a ranking looks at of an index."""

    own: Any
    molecules: Any
    best_first: Any
    best_of_each_molecule: Any

    def __len__(self) -> int:
        return len(self.own)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 30), st.integers(0, 15), st.integers(0, 30), st.integers(0, 1000))
def test_a_joint_ranking_is_that_of_all_rows_at_once(own: int, new: int, others: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = own + new + others
    rewards, molecules = rng.integers(0, 4, n) / 4, rng.integers(0, 1 + n // 2, n).astype(np.uint64)
    stored = np.r_[:own, own + new : n]

    def ranked(positions: Any) -> tuple[Any, Any]:
        first = np.argsort(-rewards[positions], kind="stable")
        best = first[np.sort(np.unique(molecules[positions][first], return_index=True)[1])]
        return first, best

    best_first, best_of_each_molecule = ranked(stored)
    ranking = IndexRanking(Stored(np.arange(own + others) < own, molecules[stored], best_first, best_of_each_molecule))
    found = joint_ranking(ranking, rewards)
    expected_first, expected_best = ranked(np.arange(n))
    np.testing.assert_array_equal(found, expected_first)
    best = best_of_each(ranking, rewards, molecules[own : own + new], found)
    np.testing.assert_array_equal(best, expected_best)


def test_a_scope_of_own_rows_needs_no_live_ones(lab: Any) -> None:
    lab.start().fit()
    buffer = Buffer(lab.store, BufferView(lab.objective.sha256), Uniform(), lab.prior.vocabulary)
    index = lab.store.index(IndexScope(objective_sha256=lab.objective.sha256))
    assert len(buffer.candidates) == len(index) and not buffer.candidates.live
    np.testing.assert_array_equal(buffer.candidates.best_of_each_molecule, index.best_of_each_molecule)
