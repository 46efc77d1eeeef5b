"""R12 to R15, R8: what a mixed batch is made of."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molbuffer.samplers.base import Draw, SamplerSize
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.files.epochs import EpochPosition
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import Objective, WeightedComponent, standardise_smiles
from molbuffer.scoring.components import PythonFunction
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage.history.selections import ConsumeOnce, Uniform
from molbuffer.storage.records import ScoreStatus
from molbuffer.storage.rows import Rows
from molbuffer.training.batches.batch import Block, TrainingBatch, join
from molbuffer.training.batches.buffer import BUFFER, BufferView
from molbuffer.training.batches.mixed_batch import BatchOrigin, MixedBatch
from molbuffer.training.errors import BatchShortError
from molbuffer.training.fit.loop import batch_metrics

NOTHING_PASSES = PropertyRange("molecular_weight", minimum=100_000, name="heavy")


def decode(batch: TrainingBatch, vocabulary: Vocabulary) -> list[str]:
    return vocabulary.decode(batch.tokens.numpy(), batch.lengths.numpy())


def carbon_share(smiles: str) -> float:
    return smiles.count("C") / len(smiles)


def batches(training: Any) -> list[Any]:
    """All batches of a loader; what they consume and draw is committed, as the fit loop would."""
    found = []
    with training.writer as writer:
        for mixed in training.loader:
            found.append(mixed)
            writer.add(mixed.batch.iteration, mixed.origin, {})
    return found


@pytest.mark.parametrize("p_batch", [0.0, 0.3, 0.5, 1.0])
def test_r13_a_batch_has_its_size_and_the_share_of_live_rows(lab: Any, p_batch: float) -> None:
    training = lab.adapted(batch_size=10, iterations=3, p_batch=p_batch).start()
    for mixed in batches(training):
        counts = Counter(mixed.batch.origins)
        assert counts["agent"] == round(10 * p_batch) and counts[BUFFER] == 10 - round(10 * p_batch)
        assert len(mixed.batch) == 10 and mixed.origin.shortfall == 0


def test_shares_of_several_samplers(lab: Any, chains: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "chains.smi"
    path.write_text("CCC\nCCO\nCNC\nCOC\nNCN\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        known = DatasetSampler("known", path, chains, size=SamplerSize(5, 0.25))
        return [known, ModelSampler("agent", policy, size=SamplerSize(16, 0.5))]

    training = lab.adapted(iterations=2, make_samplers=samplers).start()
    for mixed in batches(training):
        assert Counter(mixed.batch.origins) == {"known": 2, "agent": 4, BUFFER: 2}
        assert [build.sampler for build in mixed.origin.live] == ["known", "agent"]


def test_each_row_has_the_reward_of_its_own_molecule(lab: Any, chains: Vocabulary) -> None:
    training = lab.adapted(batch_size=20, iterations=4, buffer_size=30, build_every=2).start()
    for mixed in batches(training):
        molecules = [standardise_smiles(text) for text in decode(mixed.batch, chains)]
        assert None not in molecules
        expected = [carbon_share(text) for text in molecules if text is not None]
        assert mixed.batch.rewards.tolist() == pytest.approx(expected, abs=1e-6)
        assert len(set(expected)) > 3, "the rewards should tell rows apart"


def test_a_row_keeps_the_log_probabilities_it_was_drawn_with(lab: Any) -> None:
    training = lab.adapted(iterations=1).start()
    (mixed,) = batches(training)
    batch = mixed.batch
    with torch.no_grad():
        expected = training.learner.policy().model.log_probs(batch.tokens, batch.lengths)
    torch.testing.assert_close(batch.behaviour_log_probs, expected, atol=1e-4, rtol=0)


def test_r14_the_buffer_is_built_when_due_and_when_it_cannot_fill_a_batch(lab: Any) -> None:
    due = lab.adapted(iterations=5, build_every=2).start()
    assert [bool(mixed.origin.built) for mixed in batches(due)] == [True, False, True, False, True]
    # 10 rows last for two batches of 4 stored rows.
    short = lab.adapted(run_id="other", iterations=5, buffer_size=10, selection=ConsumeOnce()).start()
    assert [bool(mixed.origin.built) for mixed in batches(short)] == [True, False, True, False, False]


def test_rows_are_selected_as_of_an_iteration_that_builds_as_of_any_other(lab: Any) -> None:
    due = lab.adapted(iterations=3, build_every=2).start()
    with due.writer:
        assert [due.loader.buffer.iteration for _ in due.loader] == [0, 1, 2]


def test_r15_consume_once_delivers_no_row_twice(lab: Any) -> None:
    training = lab.adapted(iterations=6, buffer_size=10, selection=ConsumeOnce()).start()
    consumed = [
        (part.build_id, row) for mixed in batches(training) for part in mixed.origin.consumed for row in part.rows
    ]
    assert len(consumed) == len(set(consumed)) == 6 * 4


def test_r15_live_rows_that_were_committed_are_not_delivered_again(lab: Any) -> None:
    training = lab.adapted(iterations=6, buffer_size=10, selection=ConsumeOnce()).start()
    training.fit(checkpoint_every=1)
    sql = """SELECT count(*) AS n FROM {consumed} AS eaten JOIN {builds} AS builds USING (build_id)
        WHERE builds.event = 'sample_batch'"""
    assert training.store.read_arrow(sql)["n"].to_pylist() == [0]


def test_r12_without_shares_the_training_lives_on_the_buffer(lab: Any) -> None:
    training = lab.adapted(iterations=3, p_batch=0.0).start()
    for mixed in batches(training):
        assert set(mixed.batch.origins) == {BUFFER} and not mixed.origin.live


class Scarce(DatasetSampler):
    """Gives 2 rows a draw at most."""

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        return super().draw_from(position, min(n, 2), seed)


def test_r13_the_buffer_makes_up_for_a_sampler_that_stays_short(lab: Any, chains: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "two.smi"
    path.write_text("CCC\nCCO\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        # Five draws give 10 rows: less than the 12 that are wanted.
        scarce = Scarce("scarce", path, chains, size=SamplerSize(0, 0.75))
        return [scarce, ModelSampler("agent", policy, size=SamplerSize(30, 0.0))]

    training = lab.adapted(batch_size=16, iterations=2, make_samplers=samplers).start()
    for mixed in batches(training):
        assert Counter(mixed.batch.origins) == {"scarce": 10, BUFFER: 6}
        assert mixed.origin.shortfall == 2


def test_r13_other_samplers_make_up_for_what_the_buffer_lacks(lab: Any, chains: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "two.smi"
    path.write_text("CCC\nCCO\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        scarce = Scarce("scarce", path, chains, size=SamplerSize(0, 0.75))
        return [scarce, ModelSampler("agent", policy, size=SamplerSize(0, 0.25))]

    training = lab.adapted(batch_size=16, iterations=1, make_samplers=samplers).start()
    (mixed,) = batches(training)
    assert Counter(mixed.batch.origins) == {"scarce": 10, "agent": 6}
    assert [build.chunk for build in mixed.origin.live] == [0, 0, 1]


def test_r13_the_only_sampler_is_asked_again_before_a_batch_that_is_a_row_short_ends_a_run(
    lab: Any, chains: Vocabulary, tmp_path: Path
) -> None:
    path = tmp_path / "two.smi"
    path.write_text("CCC\nCCO\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        return [Scarce("scarce", path, chains, size=SamplerSize(0, 1.0))]

    training = lab.adapted(batch_size=12, iterations=1, make_samplers=samplers).start()
    (mixed,) = batches(training)
    assert Counter(mixed.batch.origins) == {"scarce": 12}
    assert [build.chunk for build in mixed.origin.live] == [0, 1]
    assert mixed.origin.shortfall == 2


def test_r13_a_batch_that_cannot_be_filled_is_an_error_with_counts(lab: Any) -> None:
    training = lab.adapted(filters=(NOTHING_PASSES,), buffer_size=0, p_batch=1.0).start()
    with pytest.raises(BatchShortError) as caught:
        next(iter(training.loader))
    assert (caught.value.wanted, caught.value.available, caught.value.live) == (8, 0, (("agent", 0, 8),))
    assert "agent: 0 of 8" in str(caught.value)


def test_r14_a_build_that_leaves_the_buffer_short_is_an_error_with_counts(lab: Any) -> None:
    training = lab.adapted(filters=(NOTHING_PASSES,)).start()
    with pytest.raises(BatchShortError) as caught:
        next(iter(training.loader))
    assert (caught.value.wanted, caught.value.available) == (4, 0)


def test_r12_offline_ends_when_its_rows_are_used_up(lab: Any) -> None:
    lab.adapted(iterations=1, buffer_size=20, p_batch=0.0, selection=Uniform()).start().fit()
    offline = lab.adapted(run_id="offline", batch_size=6, iterations=100, selection=ConsumeOnce()).start_offline()
    assert len(offline.loader.buffer.index) == 20
    found = batches(offline)
    assert [len(mixed.batch) for mixed in found] == [6, 6, 6]
    assert offline.loader.iteration == 3
    twice = lab.adapted(run_id="twice", batch_size=6, iterations=100, selection=ConsumeOnce(2)).start_offline()
    assert len(batches(twice)) == 6


def test_r12_offline_without_rows_is_an_error_with_counts(lab: Any) -> None:
    offline = lab.adapted(run_id="offline").start_offline()
    with pytest.raises(BatchShortError) as caught:
        next(iter(offline.loader))
    assert (caught.value.wanted, caught.value.available) == (8, 0)
    lab.start().fit()
    good = lab.adapted(run_id="good").start_offline(BufferView(lab.objective.sha256, where="reward > 5"))
    with pytest.raises(BatchShortError, match="'reward > 5'") as caught:
        next(iter(good.loader))
    assert (caught.value.wanted, caught.value.available) == (8, 0)


@pytest.fixture
def closing_policy() -> Policy:
    """Draws chains of C and ) of which most are no molecule."""
    torch.manual_seed(0)
    vocabulary = Vocabulary((*RESERVED, "C", "O", ")"))
    model = GRULanguageModel(
        GRUArchitecture(len(vocabulary), embedding_size=16, hidden_size=32, layers=2, max_length=6)
    ).eval()
    return Policy(model, vocabulary, fingerprint(model, vocabulary))


def test_r13_train_on_invalid_adds_what_is_no_molecule_with_reward_0(lab: Any, closing_policy: Policy) -> None:
    changed = lab.adapted(prior=closing_policy, buffer_size=40, iterations=2, train_on_invalid=True)
    n_invalid = 0
    for mixed in batches(changed.start()):
        molecules = [standardise_smiles(text) for text in decode(mixed.batch, closing_policy.vocabulary)]
        (build,) = mixed.origin.live
        invalid = [smiles is None for smiles in build.samples.smiles]
        assert len(mixed.batch) == 8 + sum(invalid)
        n_invalid += sum(invalid)
        for smiles, reward in zip(molecules, mixed.batch.rewards.tolist(), strict=True):
            assert reward == pytest.approx(0.0 if smiles is None else carbon_share(smiles))
    assert n_invalid > 0


def test_without_train_on_invalid_a_batch_holds_molecules_only(lab: Any, closing_policy: Policy) -> None:
    changed = lab.adapted(prior=closing_policy, buffer_size=40, iterations=2)
    for mixed in batches(changed.start()):
        texts = decode(mixed.batch, closing_policy.vocabulary)
        assert len(texts) == 8 and None not in map(standardise_smiles, texts)


def test_a_dataset_row_without_tokens_is_never_trained_on(lab: Any, chains: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "bad.smi"
    path.write_text("CCC\nC(((\nCCO\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        return [DatasetSampler("file", path, chains, size=SamplerSize(8, 0.5))]

    changed = lab.adapted(make_samplers=samplers, iterations=2, train_on_invalid=True)
    for mixed in batches(changed.start()):
        assert int(mixed.batch.lengths.min()) > 0


def test_r25_rows_whose_scorer_failed_are_never_trained_on(lab: Any, chains: Vocabulary, write_scorer: Any) -> None:
    source = "def picky(smiles):\n    if 'N' in smiles:\n        raise RuntimeError('no')\n    return 0.5\n"
    objective = Objective((WeightedComponent(PythonFunction(f"{write_scorer(source)}:picky")),))
    training = lab.adapted(objective=objective, batch_size=6, p_batch=0.5, buffer_size=60, iterations=2).start()
    found = batches(training)
    assert not any("N" in text for mixed in found for text in decode(mixed.batch, chains))
    failed = [
        reward for mixed in found for build in mixed.origin.live for reward in build.rewards if reward.value is None
    ]
    assert failed and all(reward.status is ScoreStatus.FAILED for reward in failed)


def sometimes(write_scorer: Any) -> Objective:
    """An objective of which about every third molecule's score fails."""
    source = "def score(smiles):\n    return float('nan') if len(smiles) % 3 == 0 else 0.5\n"
    return Objective((WeightedComponent(PythonFunction(f"{write_scorer(source)}:score")),))


def test_r14_the_buffer_is_built_when_it_cannot_make_up_for_failed_scores(lab: Any, write_scorer: Any) -> None:
    changed = lab.adapted(objective=sometimes(write_scorer), iterations=12, buffer_size=12, selection=ConsumeOnce())
    found = batches(changed.start())
    assert [len(mixed.batch) for mixed in found] == [8] * 12
    assert all(len(mixed.origin.built) <= 1 for mixed in found)
    assert any(mixed.origin.built and mixed.origin.shortfall for mixed in found)
    consumed = [(part.build_id, row) for mixed in found for part in mixed.origin.consumed for row in part.rows]
    assert len(consumed) == len(set(consumed))


def test_r13_a_sampler_makes_up_for_its_own_failed_scores(lab: Any, write_scorer: Any) -> None:
    changed = lab.adapted(objective=sometimes(write_scorer), iterations=4, buffer_size=0, p_batch=1.0)
    found = batches(changed.start())
    assert [len(mixed.batch) for mixed in found] == [8] * 4
    chunks = [build.chunk for mixed in found for build in mixed.origin.live]
    assert max(chunks) >= 1
    failing = Objective((WeightedComponent(PythonFunction(f"{write_scorer('def score(s): return None')}:score")),))
    hopeless = lab.adapted(run_id="hopeless", objective=failing, buffer_size=0, p_batch=1.0).start()
    with pytest.raises(BatchShortError, match="SELECT component") as caught:
        next(iter(hopeless.loader))
    assert caught.value.live[0] == ("agent", 0, 8), "rows whose score failed do not count"


def test_r8_rows_stored_in_another_vocabulary_are_encoded_anew(lab: Any, chains: Vocabulary) -> None:
    lab.adapted(iterations=1, buffer_size=40, p_batch=0.0).start().fit()
    other = Vocabulary((*RESERVED, "O", "Cl", "C"))
    torch.manual_seed(1)
    model = GRULanguageModel(
        GRUArchitecture(len(other), embedding_size=16, hidden_size=32, layers=2, max_length=10)
    ).eval()
    policy = Policy(model, other, fingerprint(model, other))
    changed = lab.adapted(prior=policy, run_id="other", batch_size=5, iterations=100, selection=ConsumeOnce())
    training = changed.start_offline(BufferView(lab.objective.sha256))
    stored = training.store.read_arrow("SELECT raw FROM {samples}")["raw"].to_pylist()
    expressible = [text for text in stored if text and "N" not in text]
    assert 5 < len(expressible) < len(stored)
    assert len(training.loader.buffer.index) == len(expressible), "what has a nitrogen cannot be expressed"
    found = batches(training)
    texts = [text for mixed in found for text in decode(mixed.batch, other)]
    assert len(texts) == len(expressible) // 5 * 5
    assert not Counter(texts) - Counter(expressible)
    for mixed in found:
        inside = np.arange(mixed.batch.tokens.shape[1]) < mixed.batch.lengths.numpy()[:, None]
        assert np.isnan(mixed.batch.behaviour_log_probs.numpy()[inside]).all()


def test_policy_lag_is_the_age_of_what_the_run_drew_itself(lab: Any) -> None:
    training = lab.adapted(p_batch=0.0, buffer_size=8, batch_size=8, iterations=5, build_every=3).start()
    batches = [(mixed.batch.iteration, mixed.origin.lags, batch_metrics(mixed)) for mixed in training.loader]
    for iteration, lags, figures in batches:
        assert len(lags) == 8
        assert all((iteration - lag) % 3 == 0 for lag in lags), "rows are drawn in iterations 0 and 3"
        assert figures["policy_lag"] == sum(lags) / 8
    assert batches[2][2]["policy_lag"] == 2.0
    row = Rows(
        tokens=np.full((1, 2), 3, np.uint8), lengths=np.array([2], np.int32), log_probs=np.zeros((1, 2), np.float32),
        rewards=np.zeros(1),
    )  # fmt: skip
    assert (
        batch_metrics(MixedBatch(join(0, [Block("agent", row, lambda: [None])]), BatchOrigin()))["policy_lag"] is None
    )
