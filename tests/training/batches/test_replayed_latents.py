"""R23: a prior may learn from its earlier draws, weighted by how much likelier they are now; by default none counts."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.samplers.latents.priors import NormalPrior
from molbuffer.samplers.latents.source import LatentState
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.history.selections import Uniform
from molbuffer.storage.records import Build, Commit, Event, Reward, Run, RunKind, Samples
from molbuffer.storage.rows import Rows
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.batches.mixed_batch import BatchOrigin
from molbuffer.training.batches.replayed_latents import ReplayedLatents
from molbuffer.training.fit.trainables import Trainables
from molbuffer.training.latents.trainers import LatentTrainerSettings, PriorTrainer, prior_loss
from molbuffer.training.losses import (
    BASELINES,
    leave_one_out,
    mean_reward,
    reinforce,
    truncated_weights,
)

NAN = math.nan


def no_policy() -> Policy:
    raise AssertionError("a prior learns without the policy that decodes")


def sampler_of(prior: NormalPrior) -> PriorSampler:
    return PriorSampler("prior", no_policy, LatentState(prior))


def density(latents: Tensor, mean: Tensor) -> Tensor:
    """Of a normal distribution of variance 1, written out."""
    return (-((latents - mean) ** 2) / 2 - math.log(2 * math.pi) / 2).sum(1)


def replay(latents: Tensor, log_probs: Tensor, rewards: Tensor, version: str = "then") -> ReplayedLatents:
    n = len(latents)
    return ReplayedLatents(["prior"] * n, [version] * n, np.arange(n), replayed_rows(latents, log_probs, rewards))


def replayed_rows(latents: Tensor, log_probs: Tensor, rewards: Tensor) -> Rows:
    return replace(
        rows_of(latents),
        latent_log_probs=log_probs.numpy().astype(np.float32),
        rewards=rewards.numpy().astype(np.float64),
    )


def rows_of(latents: Tensor) -> Rows:
    n = len(latents)
    return Rows(
        tokens=np.full((n, 2), 3, np.uint8), lengths=np.full(n, 2, np.int32), log_probs=np.zeros((n, 2), np.float32),
        latents=latents.numpy(), vocabulary_sha256="v",
    )  # fmt: skip


def a_build(
    latents: Tensor,
    rewards: Sequence[float],
    sha256: str,
    log_probs: Sequence[float] | None = None,
    sampler: str = "prior",
    run_id: str = "run",
) -> Build:
    n = len(latents)
    given = None if log_probs is None else np.array(log_probs, np.float32)
    samples = Samples(["C"] * n, ["C"] * n, [None] * n, replace(rows_of(latents), latent_log_probs=given))
    return Build(
        run_id, 0, Event.BUILD_BUFFER, sampler, "prior", samples,
        latent_sha256=sha256, objective_sha256="o",
        rewards=[Reward(row, "o", value) for row, value in enumerate(rewards)],
    )  # fmt: skip


def test_the_ratio_by_hand() -> None:
    now, then = torch.log(torch.tensor([0.2, 0.6, 0.3, 0.0])).requires_grad_(), torch.log(torch.full((4,), 0.2))
    found = truncated_weights(now - then, 2.0)
    assert_close(found, torch.tensor([1.0, 2.0, 1.5, 0.0]))
    assert not found.requires_grad
    assert truncated_weights(torch.tensor([0.0]) - torch.tensor([-2000.0]), 5.0).tolist() == [5.0]


def test_weighted_losses_and_baselines_by_hand() -> None:
    log_probs, rewards = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([1.0, 0.0, 0.5])
    weights = torch.tensor([1.0, 0.5, 2.0])
    found = {name: float(reinforce(log_probs, rewards, each, weights)) for name, each in BASELINES.items()}
    assert found["none"] == pytest.approx((1 + 0 + 4) / 3)
    # The weighted mean is (1 + 0 + 1) / 3.5 = 4/7.
    assert float(mean_reward(rewards, weights)) == pytest.approx(4 / 7)
    assert found["mean"] == pytest.approx((3 / 7 - 4 / 7 - 8 * 1 / 14) / 3)
    assert_close(leave_one_out(rewards, weights), torch.tensor([1 / 2.5, 2 / 3, 1 / 1.5]))
    assert found["leave_one_out"] == pytest.approx((0.6 - 2 / 3 + 8 * (0.5 - 2 / 3)) / 3)
    with pytest.raises(ValueError, match=r"\(3,\), \(3,\), \(2,\)"):
        reinforce(log_probs, rewards, weights=weights[:2])


def test_a_row_beside_which_no_other_counts_has_no_baseline() -> None:
    rewards = torch.tensor([0.7, 0.9, 0.1])
    assert leave_one_out(rewards, torch.tensor([1.0, 1e-20, 0.0])).tolist()[0] == 0.0
    assert leave_one_out(rewards, torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert float(mean_reward(rewards, torch.zeros(3))) == 0.0
    few = leave_one_out(rewards, torch.tensor([1.0, 1e-6, 0.0]))
    assert_close(few, torch.tensor([0.9, 0.7, 0.7]))


@pytest.mark.parametrize("baseline", ["none", "mean"])
def test_r23_the_gradient_of_replayed_rows_is_the_one_worked_out_by_hand(baseline: str) -> None:
    mean_now, mean_then, clip = torch.tensor([0.5, -1.0]), torch.tensor([-0.5, 0.0]), 1.5
    prior = NormalPrior(2)
    prior.means.data[:] = mean_now
    sampler = sampler_of(prior)
    fresh, earlier = torch.tensor([[1.0, 0.0], [0.0, -2.0]]), torch.tensor([[0.5, -1.0], [0.0, -0.5], [-1.0, 1.0]])
    rewards, rewards_then = torch.tensor([1.0, 0.25]), torch.tensor([0.5, 1.0, 0.75])
    then = density(earlier, mean_then)
    ratio = (density(earlier, mean_now) - then).exp()
    # The ratio is exp(Δ·z + (|m_then|² − |m_now|²) / 2) with Δ = (1, −1): exponents 1, 0 and −2 less 0.5.
    assert_close(ratio, torch.tensor([1.0, 0.0, -2.5]).exp())
    weights = torch.tensor([1.0, 1.0, 1.5, 1.0, math.exp(-2.5)])
    latents, all_rewards = torch.cat([fresh, earlier]), torch.cat([rewards, rewards_then])
    subtracted = float((weights * all_rewards).sum() / weights.sum()) if baseline == "mean" else 0.0
    signals = weights * (all_rewards - subtracted)
    # Of a normal distribution with scale 1, the gradients of log p are z − m and (z − m)² − 1.
    expected_means = -(signals[:, None] * (latents - mean_now)).sum(0) / 5
    expected_scales = -(signals[:, None] * ((latents - mean_now) ** 2 - 1)).sum(0) / 5
    steps = LatentTrainerSettings(gradient_norm=1e9, baseline=BASELINES[baseline])
    trainer = PriorTrainer(sampler, steps, replay_ratio_clip=clip)
    build = a_build(fresh, rewards.tolist(), sampler.latent_sha256)
    figures = trainer.update([build], replay(earlier, then, rewards_then))
    assert_close(prior.means.grad[0], expected_means)
    assert_close(prior.log_scales.grad[0], expected_scales)
    assert (figures["latent_rows"], figures["latent_replayed"]) == (2, 3)
    assert figures["latent_reward"] == 0.625, "the mean over the rows of the present version"
    assert figures["latent_replay_weight"] == pytest.approx((1.5 + 1 + math.exp(-2.5)) / 3)
    loss = -(signals * density(latents, mean_now)).sum() / 5
    assert figures["latent_loss"] == pytest.approx(float(loss), rel=1e-5)


def test_r23_without_the_option_replayed_rows_change_nothing() -> None:
    prior, plain = NormalPrior(2), NormalPrior(2)
    sampler, beside = sampler_of(prior), sampler_of(plain)
    latents = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    rows = replay(latents, density(latents, torch.zeros(2)), torch.tensor([1.0, 0.0, 0.5]))
    before, trainer = sampler.latent_sha256, PriorTrainer(sampler)
    nothing = {"latent_loss": None, "latent_reward": None, "latent_rows": 0.0}
    assert trainer.update([], rows) == nothing
    assert sampler.latent_sha256 == before
    build = a_build(latents[:2], [1.0, 0.0], before)
    assert trainer.update([build], rows) == PriorTrainer(beside).update([build])
    assert sampler.latent_sha256 == beside.latent_sha256 != before


def test_r23_rows_of_others_and_of_the_present_version_are_never_used() -> None:
    sampler = sampler_of(NormalPrior(2))
    before = sampler.latent_sha256
    latents, zeros = torch.ones(3, 2), torch.zeros(3)
    given = replayed_rows(latents, zeros, zeros + 1)
    rows = ReplayedLatents(["other", "prior", "other"], ["then", before, before], np.arange(3), given)
    trainer = PriorTrainer(sampler, replay_ratio_clip=1.0)
    figures = trainer.update([], rows)
    assert (figures["latent_loss"], figures["latent_replayed"], figures["latent_replay_weight"]) == (None, 0.0, None)
    assert trainer.update([], None)["latent_replayed"] == 0.0
    assert sampler.latent_sha256 == before
    assert trainer.update([], replay(latents, zeros, zeros + 1))["latent_replayed"] == 3


@pytest.fixture
def stored(store: SampleStore) -> SampleStore:
    """Rows of which a prior of the run ``run`` may use two: those of its own that have a density."""
    z = torch.arange(6.0).view(3, 2)
    for run_id in ("run", "earlier"):
        store.start_run(Run(run_id, "test", RunKind.TRAIN, "{}", 0))
    wide = torch.arange(9.0).view(3, 3)
    store.commit(
        Commit(
            [
                a_build(z, [0.1, 0.2, 0.3], "then", [-1.0, NAN, -3.0]),
                a_build(z + 10, [0.4, 0.5, 0.6], "then", [-4.0, -5.0, -6.0], sampler="other"),
                a_build(z + 20, [0.7, 0.8, 0.9], "vectors", sampler="given"),
                a_build(z + 30, [0.7, 0.8, 0.9], "then", [-7.0, -8.0, -9.0], run_id="earlier"),
                a_build(wide, [0.7, 0.8, 0.9], "then", [-1.0, -1.0, -1.0], sampler="wide"),
            ]
        )
    )
    return store


def test_r23_what_a_batch_replays_is_known_by_run_sampler_and_version(stored: SampleStore, chains: Vocabulary) -> None:
    vocabulary = type("V", (), {"sha256": "v", "can_encode": lambda *_: True})
    buffer = Buffer(stored, BufferView("o", run_id="run"), Uniform(), vocabulary)  # type: ignore[arg-type]
    assert buffer.available == 15
    taken = buffer.take(15, np.random.default_rng(0))
    assert len(taken.rows) == 15 and taken.replayed is not None
    assert sorted(taken.replayed.samplers) == ["other"] * 3 + ["prior"] * 2 + ["wide"] * 3
    assert set(taken.replayed.versions) == {"then"}
    ours = taken.replayed.earlier("prior", "now", 2)
    assert ours is not None
    order = ours.rewards.argsort()
    assert ours.rewards[order].tolist() == [0.1, 0.3]
    assert ours.latent_log_probs[order].tolist() == [-1.0, -3.0]
    assert ours.latents[order].tolist() == [[0.0, 1.0], [4.0, 5.0]]
    assert taken.replayed.earlier("prior", "then", 2) is None
    assert taken.replayed.earlier("absent", "now", 2) is None
    figures = Trainables([PriorTrainer(sampler_of(NormalPrior(2)), replay_ratio_clip=1.0)]).update(
        BatchOrigin(replayed=taken.replayed), stored
    )
    assert figures["latent_replayed_prior"] == 2
    given = BufferView("o", run_id="run", where="sampler = 'given'")
    assert Buffer(stored, given, Uniform(), vocabulary).take(3, np.random.default_rng(0)).replayed is None  # type: ignore[arg-type]


def grid(mean: float, scale: float, n: int = 40_001) -> Tensor:
    """Draws [n, 1] of a normal distribution without chance: its quantiles."""
    levels = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return (mean + scale * math.sqrt(2) * torch.erfinv(2 * levels - 1))[:, None]


def test_replayed_rows_have_the_gradient_of_rows_drawn_from_the_present_prior() -> None:
    # The earlier prior is wider, so that the ratio is bounded by 2 · e^(1/6) and a bound of 3 cuts nothing.
    prior = NormalPrior(1).double()
    prior.means.data[:] = 0.5
    now, then = grid(0.5, 1.0), grid(0.0, 2.0)

    def gradient(latents: Tensor, weights: Tensor | None) -> list[Tensor]:
        rewards = torch.exp(-((latents[:, 0] - 1.5) ** 2))
        loss = prior_loss(prior, latents, rewards, BASELINES["none"], weights)
        return list(torch.autograd.grad(loss, (prior.means, prior.log_scales)))

    log_then = -(then[:, 0] ** 2) / 8 - math.log(2 * math.sqrt(2 * math.pi))
    weights = truncated_weights(prior.log_prob(then) - log_then, 3.0)
    assert 2.0 < float(weights.max()) < 2.4
    expected, found = gradient(now, None), gradient(then, weights)
    assert_close(found, expected, atol=1e-3, rtol=0)
    assert min(float(each.abs().max()) for each in expected) > 0.02
    without = gradient(then, None)
    assert max(float((a - b).abs().max()) for a, b in zip(without, expected, strict=True)) > 0.05


def reward(latents: Tensor) -> Tensor:
    return (1 - (latents - torch.tensor([1.5, -1.0, 0.5])).square().sum(1) / 12).clamp(min=0)


def test_a_prior_that_seldom_draws_comes_further_by_its_earlier_rows() -> None:
    reached: dict[float | None, float] = {}
    for clip in (None, 1.0):
        sampler = sampler_of(NormalPrior(3))
        trainer = PriorTrainer(sampler, LatentTrainerSettings(learning_rate=0.05), replay_ratio_clip=clip)
        for draw in range(10):
            latents = sampler.prior.sample(64, torch.Generator().manual_seed(draw))
            log_probs, version = sampler.prior.log_prob(latents).detach(), sampler.latent_sha256
            trainer.update([a_build(latents, reward(latents).tolist(), version)])
            for _ in range(7):
                trainer.update([], replay(latents, log_probs, reward(latents), version))
        reached[clip] = float(reward(sampler.prior.sample(2000, torch.Generator().manual_seed(10_000))).mean())
    assert reached[None] < 0.85 and reached[1.0] >= 0.95, reached
