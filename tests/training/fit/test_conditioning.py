"""R18: what a policy in training is given of the rows of a batch, and that the rows' columns stay together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, ConditionKind
from molbuffer.samplers.models.decoding import chosen_log_probs
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import GenerativeModel, LatentModel, Sequences
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens.vocabulary import END, Vocabulary
from molbuffer.storage.records import Build, Event, Reward, Samples
from molbuffer.storage.rows import Rows
from molbuffer.training.batches.batch import Block, TrainingBatch, join, live_rows
from molbuffer.training.errors import UnsuitableDataError
from molbuffer.training.fit.conditioning import condition_for
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.losses import Reinvent


def block(origin: str, n: int, width: int, **more: Any) -> Block:
    """Rows of n, n+1, … tokens, recognisable by their rewards."""
    rows = Rows(
        tokens=np.full((n, width), 3, np.uint8), lengths=np.arange(1, n + 1).clip(max=width).astype(np.int32),
        log_probs=np.zeros((n, width), np.float32), rewards=np.arange(n) / 10, **more,
    )  # fmt: skip
    return Block(origin, rows, lambda: [None] * n)


class Conditional(GenerativeModel):
    """Its logits are the first latent number, or the first source token, times a row of weights."""

    kind = "conditional"

    def __init__(self, condition_kind: ConditionKind, vocabulary_size: int) -> None:
        super().__init__()
        self.condition_kind = condition_kind
        self.weight = nn.Parameter(torch.linspace(0.1, 1.0, vocabulary_size))

    def log_probs(
        self, tokens: Tensor, lengths: Tensor, *, condition: Condition = UNCONDITIONED, sampling: Sampling = UNTRUNCATED
    ) -> Tensor:
        if self.condition_kind is ConditionKind.SOURCES:
            strength = condition.sources_of(len(tokens))[0][:, 0].float()
        else:
            strength = condition.latents_of(len(tokens), 2)[:, 0]
        logits = (strength[:, None, None] * self.weight).expand(-1, tokens.shape[1], -1)
        return chosen_log_probs(logits, tokens, lengths, sampling)

    def sample(self, n: int, **_: Any) -> Sequences:
        raise NotImplementedError

    def architecture(self) -> Mapping[str, Any]:
        return {}


class Latent(Conditional, LatentModel):
    latent_size = 2

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(ConditionKind.LATENTS, vocabulary_size)

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return torch.stack([-lengths.float(), lengths.float()], 1)


def test_rows_of_different_origins_keep_their_own_latents_and_sources() -> None:
    latents = np.array([[1, 2], [3, 4]], np.float32)
    sources = np.array([[5, END, 0], [6, 7, END]], np.uint8)
    batch = join(
        0,
        [
            block("plain", 1, 4),
            block("latent", 2, 3, latents=latents),
            block("pairs", 2, 5, source_tokens=sources, source_lengths=np.array([2, 3], np.int32)),
        ],
    )
    assert batch.origins == ["plain", "latent", "latent", "pairs", "pairs"]
    assert_close(batch.rewards, torch.tensor([0.0, 0.0, 0.1, 0.0, 0.1]))
    given = batch.condition.latents
    assert given is not None
    assert_close(given[1:3], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert given[[0, 3, 4]].isnan().all()
    assert batch.condition.source_lengths is not None and batch.condition.source_lengths.tolist() == [0, 0, 0, 2, 3]
    assert batch.condition.sources is not None and batch.condition.sources[3:].tolist() == [[5, END, 0], [6, 7, END]]
    assert batch.tokens.shape[1] == batch.lengths.max()


def test_a_batch_without_conditions_makes_none() -> None:
    assert join(0, [block("plain", 3, 4)]).condition == UNCONDITIONED


def test_a_conditional_policy_refuses_rows_without_a_source() -> None:
    sources = {"source_tokens": np.array([[5, END]], np.uint8), "source_lengths": np.array([2], np.int32)}
    mixed = join(4, [block("buffer", 2, 4), block("pairs", 1, 4, **sources)])
    model: GenerativeModel = Conditional(ConditionKind.SOURCES, 8)
    for batch in (mixed, join(4, [block("buffer", 2, 4)])):
        with pytest.raises(UnsuitableDataError) as caught:
            condition_for(model, batch)
        assert caught.value.rows == {"buffer": 2}
    given = condition_for(model, join(4, [block("pairs", 1, 4, **sources)]))
    assert given.sources is not None and given.sources.tolist() == [[5, END]]


def test_rows_without_latents_get_the_encoding_of_the_prior() -> None:
    latents = np.array([[1, 2]], np.float32)
    batch = join(0, [block("buffer", 2, 4), block("latent", 1, 4, latents=latents)])
    model = Latent(8)
    assert isinstance(model, LatentModel)
    assert_close(condition_for(model, batch).latents, torch.tensor([[-1.0, 1.0], [-2.0, 2.0], [1.0, 2.0]]))


def test_latents_of_another_size_are_those_of_another_model() -> None:
    batch = join(0, [block("latent", 1, 4, latents=np.ones((1, 5), np.float32))])
    assert_close(condition_for(Latent(8), batch).latents, torch.tensor([[-1.0, 1.0]]))


def batch_of_latents(rewards: Sequence[float]) -> TrainingBatch:
    latents = np.array([[0.5, 0], [2.0, 0], [-1.0, 0]], np.float32)
    rows = Rows(
        tokens=np.array([[3, END], [4, END], [END, 0]], np.uint8), lengths=np.array([2, 2, 1], np.int32),
        log_probs=np.zeros((3, 2), np.float32), rewards=np.array(rewards), latents=latents,
    )  # fmt: skip
    return join(0, [Block("latent", rows, list)])


def test_the_prior_keeps_its_own_likelihood_while_the_agent_moves_away() -> None:
    """Were the prior's likelihood computed with the agent, the two would never differ and the loss never change."""
    vocabulary = Vocabulary(("<pad>", "<start>", "<end>", "C", "N", "O"))
    policy = Policy(Latent(len(vocabulary)), vocabulary, "prior")
    learner = Learner(policy, Reinvent(2.0), LearnerSettings(learning_rate=0.05))
    batch = batch_of_latents([1.0, 0.0, 0.5])
    # Before the first step both are one model: the loss is the mean of (sigma reward)².
    assert learner.step(batch) == pytest.approx((4 + 0 + 1) / 3)
    for _ in range(30):
        last = learner.step(batch)
    condition = condition_for(policy.model, batch)
    agent = learner.policy().model.log_probs(batch.tokens, batch.lengths, condition=condition).sum(1)
    prior = policy.model.log_probs(batch.tokens, batch.lengths, condition=condition).sum(1)
    assert (agent - prior).abs().max() > 0.1
    expected = (prior + 2.0 * batch.rewards - agent).square().mean()
    assert learner.step(batch) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert last < (4 + 0 + 1) / 3 * 0.9


def test_live_pairs_of_another_vocabulary_are_encoded_again_at_both_ends() -> None:
    theirs = Vocabulary(("<pad>", "<start>", "<end>", "O", "N", "C", "S"))
    ours = Vocabulary(("<pad>", "<start>", "<end>", "C", "N", "O"))
    targets, sources = ["CO", "CS", "CN", "CC"], ["C", "CC", None, "SC"]
    tokens, lengths = theirs.encode_many(targets)
    drawn = Rows(
        tokens=tokens, lengths=lengths, log_probs=np.zeros(tokens.shape, np.float32),
        source_tokens=tokens, source_lengths=lengths, vocabulary_sha256=theirs.sha256,
    )  # fmt: skip
    samples = Samples(targets, targets, [None] * 4, drawn, source_smiles=sources)
    rewards = [Reward(row, "objective", row / 10) for row in range(4)]
    build = Build("run", 0, Event.SAMPLE_BATCH, "pairs", "contrastive", samples, rewards=rewards)
    rows = live_rows(build, ours, "objective").rows
    # The second target, the absent source and the last source cannot be expressed.
    assert rows.rewards.tolist() == [0.0]
    assert ours.decode(rows.tokens, rows.lengths) == ["CO"]
    assert rows.source_tokens is not None and rows.source_lengths is not None
    assert ours.decode(rows.source_tokens, rows.source_lengths) == ["C"]
