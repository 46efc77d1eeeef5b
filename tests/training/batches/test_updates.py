"""R32: several updates an iteration, what they draw from the buffer, and what their rows are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from molbuffer.samplers import randomised
from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.history import HistorySampler
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import standardise_smiles
from molbuffer.storage import ConsumeOnce, Prioritized, TopK, Uniform
from molbuffer.storage.history.index import IndexScope
from molbuffer.training.batches.buffer import BUFFER
from molbuffer.training.batches.mixed_batch import MixedBatch
from molbuffer.training.batches.replay import Replay
from molbuffer.training.errors import UnsuitableDataError
from molbuffer.training.fit.loop import batch_metrics, lag_metrics, update_metrics
from molbuffer.training.losses import OffPolicyReinvent, Reinforce


def batches(training: Any) -> list[MixedBatch]:
    found = []
    with training.writer as writer:
        for mixed in training.loader:
            found.append(mixed)
            writer.add(mixed.batch.iteration, mixed.origin, {})
    return found


def texts(batch: Any, vocabulary: Vocabulary) -> list[str]:
    return vocabulary.decode(batch.tokens.numpy(), batch.lengths.numpy())


def live_texts(mixed: MixedBatch) -> list[str]:
    return [text for build in mixed.origin.live for text in build.samples.raw if text]


def test_live_rows_are_in_the_first_update_and_from_then_on_in_the_buffer(lab: Any) -> None:
    training = lab.adapted(iterations=4, p_batch=1.0, buffer_size=0, replay=Replay(updates=3)).start()
    drawn: list[str] = []
    for mixed in batches(training):
        drawn += live_texts(mixed)
        first, *later = mixed.updates
        assert first is mixed.batch and set(first.origins) == {"agent"} and len(later) == 2
        for batch in later:
            assert set(batch.origins) == {BUFFER} and len(batch) == 8
            assert set(texts(batch, lab.prior.vocabulary)) <= set(drawn), "no row but what the run has drawn"
        two = [tuple(texts(batch, lab.prior.vocabulary)) for batch in later]
        if mixed.batch.iteration:
            assert two[0] != two[1], "each update has a draw of its own"
        else:
            assert [sorted(each) for each in two] == [sorted(drawn)] * 2, "the batch itself is all there is"
    # Of the newest iteration, too, long before it is committed.
    assert {0, 1, 2, 3} & set(mixed.origin.lags) == {0, 1, 2, 3}


def test_the_seed_names_the_update(lab: Any) -> None:
    """A training with more updates has the same batches, and its further draws depend on nothing but the seed."""
    few, many = (
        batches(lab.adapted(run_id=f"{n}", iterations=1, buffer_size=40, replay=Replay(updates=n)).start())
        for n in (2, 3)
    )
    for one, other in zip(few[0].updates, many[0].updates, strict=False):
        assert torch.equal(one.tokens, other.tokens)


def test_live_rows_may_take_part_in_every_update(lab: Any) -> None:
    replay = Replay(updates=3, live_in_updates=True)
    (mixed,) = batches(lab.adapted(iterations=1, p_batch=0.75, replay=replay).start())
    vocabulary = lab.prior.vocabulary
    live = texts(mixed.batch, vocabulary)[:6]
    for batch in mixed.later:
        assert batch.origins == ["agent"] * 6 + [BUFFER] * 2
        assert texts(batch, vocabulary)[:6] == live
    alone = lab.adapted(run_id="alone", iterations=2, p_batch=1.0, buffer_size=0, replay=replay).start()
    assert [[set(batch.origins) for batch in mixed.updates] for mixed in batches(alone)] == [[{"agent"}] * 3] * 2


@pytest.mark.parametrize(("size", "rows"), [(None, 8), (3, 3), (99, 24)])
def test_an_update_has_the_rows_that_it_asks_for_or_all_there_are(lab: Any, size: int | None, rows: int) -> None:
    replay = Replay(updates=2, update_size=size)
    (mixed,) = batches(lab.adapted(iterations=1, buffer_size=20, replay=replay).start())
    assert [len(batch) for batch in mixed.updates] == [8, rows], "20 of the buffer, and 4 live ones"


def test_r15_later_updates_consume_what_is_left_and_none_is_made_up(lab: Any) -> None:
    training = lab.adapted(iterations=3, buffer_size=14, selection=ConsumeOnce(), replay=Replay(updates=3)).start()
    found = batches(training)
    # Four for the batch, eight and two for the updates; so that the next batch needs a build.
    assert [[len(batch) for batch in mixed.updates] for mixed in found] == [[8, 8, 2]] * 3
    assert all(mixed.origin.built for mixed in found)
    consumed = [(part.build_id, row) for mixed in found for part in mixed.origin.consumed for row in part.rows]
    assert len(consumed) == len(set(consumed)) == 3 * 14
    live = {build.build_id for mixed in found for build in mixed.origin.live}
    assert not live & {build_id for build_id, _ in consumed}
    twice = lab.adapted(run_id="twice", iterations=1, buffer_size=4, selection=ConsumeOnce(2), replay=Replay(updates=3))
    (mixed,) = batches(twice.start())
    again = [
        part.build_id for part in mixed.origin.consumed if part.build_id in {b.build_id for b in mixed.origin.live}
    ]
    assert again, "with two epochs, live rows come once more"


def test_a_bound_on_the_policy_lag_holds_in_every_update(lab: Any) -> None:
    replay = Replay(updates=2, max_policy_lag=2)
    training = lab.adapted(iterations=7, p_batch=0.5, buffer_size=8, build_every=0, replay=replay).start()
    lags = [lag for mixed in batches(training) for lag in mixed.origin.lags]
    assert max(lags) == 2 and {0, 1} <= set(lags)


def test_rows_of_the_buffer_have_the_weights_of_their_selection(lab: Any) -> None:
    selection = Prioritized(1.0, beta=1.0)
    (mixed,) = batches(lab.adapted(iterations=1, selection=selection, replay=Replay(updates=2)).start())
    weights = mixed.batch.columns["weights"]
    stored = torch.tensor([origin == BUFFER for origin in mixed.batch.origins])
    assert (weights[~stored] == 1).all()
    assert weights[stored].mean().item() == pytest.approx(1) and len(weights[stored].unique()) > 1
    later = mixed.later[0]
    order = later.rewards.argsort(descending=True, stable=True)
    assert later.columns["weights"][order[0]] < later.columns["weights"][order[-1]], "better rows come more often"
    plain = lab.adapted(run_id="plain", iterations=1, selection=Prioritized(1.0)).start()
    assert "weights" not in batches(plain)[0].batch.columns


def test_rows_that_a_sampler_of_the_history_gives_have_weights_too(lab: Any) -> None:
    lab.start().fit()
    index = lab.store.index(IndexScope(objective_sha256=lab.objective.sha256))
    again = HistorySampler("again", lambda: index, lab.prior.vocabulary, selection=Prioritized(1.0, beta=1.0))
    weights = again.recall(6, seed=1).drawn.rows.weights
    assert weights is not None and weights.mean() == pytest.approx(1) and len(set(weights.tolist())) > 1


# -- other SMILES of the same molecules


def molecules(found: Sequence[str]) -> list[str | None]:
    return [standardise_smiles(text) for text in found]


def test_rows_of_the_buffer_come_as_other_smiles_of_their_molecules(lab: Any) -> None:
    replay = Replay(updates=3, randomise=True)
    plain, random = (
        batches(lab.adapted(run_id=name, iterations=2, buffer_size=30, p_batch=0.25, replay=each).start())
        for name, each in (("plain", Replay(updates=3)), ("random", replay))
    )
    changed = 0
    for one, other in zip(plain, random, strict=True):
        for before, after in zip(one.updates, other.updates, strict=True):
            was, became = texts(before, lab.prior.vocabulary), texts(after, lab.prior.vocabulary)
            assert molecules(was) == molecules(became)
            assert torch.equal(before.rewards, after.rewards) and before.origins == after.origins
            stored = torch.tensor([origin == BUFFER for origin in after.origins])
            known = ~after.behaviour_log_probs.isnan().any(1)
            assert known[~stored].all(), "live rows are as they were drawn"
            for row in stored.nonzero()[:, 0].tolist():
                # What branches cannot be said in chains of atoms, and is given as it was drawn.
                assert not known[row] or was[row] == became[row]
            changed += sum(before != after for before, after in zip(was, became, strict=True))
    assert changed > 4


def test_a_random_smiles_keeps_what_belongs_to_the_molecule_alone() -> None:
    known = ["CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "F/C=C/Cl", "C1CC1", "C1CCO", "C"]
    vocabulary = Vocabulary.from_smiles(["".join(known), "[C@@H][C@@][C@][C@H]/\\=1234()nocFN"])
    rows = encode_rows(known, vocabulary)
    n = len(known)
    rows = replace(
        rows,
        log_probs=np.full_like(rows.log_probs, -1),
        latents=np.ones((n, 2), np.float32),
        truncated=np.ones(n, np.uint8),
        weights=np.arange(n, dtype=np.float32),
        rewards=np.arange(n) / n,
        source_tokens=np.full((n, 3), 4, np.uint8),
        source_lengths=np.full(n, 3, np.int32),
    )
    found = randomised(rows, vocabulary, np.random.default_rng(1))
    again = randomised(rows, vocabulary, np.random.default_rng(1))
    assert all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(found.columns().values(), again.columns().values(), strict=True)
    )
    became = vocabulary.decode(found.tokens, found.lengths)
    other = randomised(rows, vocabulary, np.random.default_rng(2))
    assert became != vocabulary.decode(other.tokens, other.lengths)
    good = [0, 1, 2, 3, 5]
    assert molecules([became[row] for row in good]) == molecules([known[row] for row in good])
    assert became[4] == "C1CCO" and (found.log_probs[4, : found.lengths[4]] == -1).all()
    assert sum(a != b for a, b in zip(became, known, strict=True)) >= 2
    for row in good:
        assert np.isnan(found.log_probs[row, : found.lengths[row]]).all() and np.isnan(found.latents[row]).all()
        assert found.truncated[row] == 0
    assert found.truncated[4] == 1 and found.latents[4].tolist() == [1, 1]
    for name in ("weights", "rewards", "source_tokens", "source_lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))
    assert len(randomised(rows.take(slice(0, 0)), vocabulary, np.random.default_rng(1))) == 0
    narrow = Vocabulary((*RESERVED, "C", "O"))
    chain = encode_rows(["CCO", "OC", "CO"] * 4, narrow)
    inexpressible = randomised(chain, narrow, np.random.default_rng(0))
    assert set(narrow.decode(inexpressible.tokens, inexpressible.lengths)) <= {"CCO", "OCC", "CO", "OC"}


# -- what a loss may be given


def test_r22_a_loss_that_needs_the_likelihoods_of_rows_refuses_other_smiles(lab: Any) -> None:
    changed = lab.adapted(loss=OffPolicyReinvent(), replay=Replay(randomise=True), iterations=1)
    with pytest.raises(UnsuitableDataError, match="randomise"):
        changed.start().fit()


def test_r22_a_loss_of_fresh_draws_refuses_further_updates(lab: Any) -> None:
    changed = lab.adapted(loss=Reinforce(), replay=Replay(updates=2, live_in_updates=True), p_batch=1.0, iterations=1)
    with pytest.raises(UnsuitableDataError, match="updates = 1"):
        changed.start().fit()


# -- metrics


def test_the_metrics_of_an_iteration_are_those_of_its_steps() -> None:
    steps = [
        {"loss": 4.0, "weight_max": 2.0, "clipped": None, "kl_prior": None},
        {"loss": 2.0, "weight_max": 9.0, "clipped": None, "kl_prior": 3.0},
    ]
    assert update_metrics(steps) == {"loss": 3.0, "weight_max": 9.0, "clipped": None, "kl_prior": 3.0, "updates": 2.0}
    assert lag_metrics([]) == dict.fromkeys(("policy_lag", "policy_lag_median", "policy_lag_p90", "policy_lag_max"))
    assert lag_metrics([0, 0, 1, 1, 8]) == {
        "policy_lag": 2.0,
        "policy_lag_median": 1.0,
        "policy_lag_p90": pytest.approx(5.2),
        "policy_lag_max": 8.0,
    }


def test_metrics_of_later_updates_are_stored(lab: Any) -> None:
    training = lab.adapted(iterations=2, selection=TopK(5), replay=Replay(updates=4)).start()
    found: list[Any] = []
    training.fit(progress=lambda done: found.append(done.metrics))
    assert [metrics["updates"] for metrics in found] == [4, 4]
    assert all(metrics["reward_later"] >= metrics["reward"] for metrics in found), "the best five molecules"
    stored = lab.store.read_arrow("SELECT name, value FROM {metrics} WHERE name = 'policy_lag_max' ORDER BY iteration")
    assert stored["value"].to_pylist() == [0, 1]
    one = lab.adapted(run_id="one", iterations=1).start()
    (mixed,) = batches(one)
    assert batch_metrics(mixed)["reward_later"] is None


@pytest.mark.parametrize("wrong", [{"updates": 0}, {"update_size": -1}, {"max_policy_lag": -1}])
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least"):
        Replay(**wrong)


def test_offline_training_takes_one_update_a_step(lab: Any) -> None:
    lab.start().fit()
    offline = lab.adapted(run_id="offline", iterations=2, selection=Uniform()).start_offline()
    assert [len(mixed.updates) for mixed in batches(offline)] == [1, 1]
