"""Priors and latent vectors learn: the gradient by hand, which rows count, known optima, and a resumed training."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from molbuffer.samplers.base import Sampler, SamplerSize
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.priors import LatentPrior, NormalPrior, SphericalPrior
from molbuffer.samplers.latents.source import LatentState, LatentTable, load_latents
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.models.condition import Condition, ConditionKind
from molbuffer.samplers.models.decoding import chosen_log_probs, decode
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.protocol import LatentModel, Sequences
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Event, Reward, Samples, ScoreStatus
from molbuffer.storage.rows import Rows
from molbuffer.training.batches.mixed_batch import BatchOrigin
from molbuffer.training.errors import DivergedError
from molbuffer.training.fit.loop import FitProgress
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.fit.trainables import Trainables
from molbuffer.training.latents.trainers import (
    LatentTrainerSettings,
    PriorTrainer,
    VectorTrainer,
    prior_loss,
    rows_under,
)
from molbuffer.training.losses import BASELINES, Reinvent, leave_one_out, reinforce

TARGET = torch.tensor([1.5, -1.0, 0.5])


def make_vae(chains: Vocabulary, geometry: str = "normal") -> Policy:
    """A tiny VAE of which latent vectors decide what it draws."""
    torch.manual_seed(1)
    vae = VAE(
        VAEArchitecture(
            len(chains),
            latent_size=3,
            geometry=geometry,
            concentration=40.0,
            embedding_size=8,
            encoder_size=8,
            hidden_size=16,
            max_length=8,
        )
    ).eval()
    with torch.no_grad():
        vae.to_state.weight.mul_(4)
        vae.head.weight.mul_(6)
    return Policy(vae, chains, fingerprint(vae, chains))


def prior_sampler(policy: Policy, prior: LatentPrior, size: SamplerSize = SamplerSize()) -> PriorSampler:
    return PriorSampler("prior", lambda: policy, LatentState(prior), size=size)


def a_build(latents: Tensor, rewards: Sequence[float | None], sha256: str, rejected: Sequence[int] = ()) -> Build:
    """Rows decoded from latents; a reward that is None could not be computed, and a rejected row has none."""
    n = len(latents)
    return Build(
        "run", 0, Event.SAMPLE_BATCH, "prior", "prior",
        Samples(
            ["C"] * n, ["C"] * n, ["filter" if row in rejected else None for row in range(n)],
            Rows(
                tokens=np.full((n, 2), 3, np.uint8), lengths=np.full(n, 2, np.int32),
                log_probs=np.zeros((n, 2), np.float32), latents=latents.numpy(), vocabulary_sha256="v",
            ),
        ),
        latent_sha256=sha256,
        objective_sha256="o",
        rewards=[
            Reward(row, "o", value, ScoreStatus.OK if value is not None else ScoreStatus.FAILED)
            for row, value in enumerate(rewards) if row not in rejected
        ],
    )  # fmt: skip


def test_the_loss_by_hand() -> None:
    log_probs, rewards = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([1.0, 0.0, 0.5])
    assert float(reinforce(log_probs, rewards, BASELINES["none"])) == pytest.approx((1 + 2) / 3)
    assert float(reinforce(log_probs, rewards, BASELINES["mean"])) == pytest.approx((0.5 - 1 + 0) / 3)
    assert leave_one_out(rewards, torch.ones(3)).tolist() == [0.25, 0.75, 0.5]
    assert leave_one_out(torch.tensor([0.7]), torch.ones(1)).tolist() == [0.0]
    with pytest.raises(ValueError, match=r"\(3,\), \(2,\), \(2,\)"):
        reinforce(log_probs, rewards[:2])


def test_r23_latents_are_detached_or_the_gradient_of_the_location_would_be_0() -> None:
    prior = NormalPrior(3)
    noise = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    reparameterised = prior.means[0] + prior.log_scales[0].exp() * noise
    rewards = -reparameterised.detach().square().sum(1)
    reinforce(prior.log_prob(reparameterised), rewards).backward()
    assert_close(prior.means.grad, torch.zeros(1, 3), atol=1e-6, rtol=0)
    prior.zero_grad()
    prior_loss(prior, reparameterised, rewards).backward()
    # Of the standard normal, the gradient of log p(z) in the location is z.
    advantages = rewards - rewards.mean()
    assert_close(prior.means.grad[0], -(noise * advantages[:, None]).mean(0))
    assert prior.means.grad.abs().max() > 0.01


def test_r23_rows_that_count_are_those_of_the_version_rejected_ones_with_0_failed_ones_without() -> None:
    latents = torch.arange(12.0).view(4, 3)
    ours, other = (a_build(latents, [0.5, None, 1.0, None], sha, rejected=[3]) for sha in ("now", "then"))
    rows = rows_under([other, ours, ours], "prior", "now")
    assert rows is not None
    assert rows.rewards.tolist() == [0.5, 1.0, 0.0] * 2
    assert_close(torch.from_numpy(rows.latents), latents[[0, 2, 3]].repeat(2, 1))
    assert rows.tokens.shape == (6, 2) and rows.lengths.tolist() == [2] * 6
    assert rows_under([other], "prior", "now") is None
    assert rows_under([], "prior", "now") is None


def test_an_update_is_a_clipped_step_and_says_over_which_rows(chains: Vocabulary) -> None:
    sampler = prior_sampler(make_vae(chains), NormalPrior(3))
    trainer = PriorTrainer(sampler, LatentTrainerSettings(learning_rate=0.1))
    before = sampler.latent_sha256
    latents = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    expected = float(prior_loss(NormalPrior(3), latents, torch.tensor([1.0, 0.0, 0.0])).detach())
    figures = trainer.update([a_build(latents, [1.0, 0.0, 0.4], before, rejected=[2])])
    assert figures["latent_loss"] == pytest.approx(expected, abs=1e-6)
    assert figures["latent_reward"] == pytest.approx(1 / 3)
    assert figures["latent_rows"] == 3
    after = sampler.latent_sha256
    assert after != before
    version = trainer.version("run", 4)
    assert (version.sha256, version.parent_sha256, version.kind) == (after, before, "normal_prior")
    # What the former version drew is for the decoder only.
    assert trainer.update([a_build(latents, [1.0, 0.0, 0.4], before)])["latent_loss"] is None
    assert sampler.latent_sha256 == after


def test_a_gradient_is_clipped_and_a_loss_that_is_no_number_changes_nothing(
    chains: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = prior_sampler(make_vae(chains), NormalPrior(3))
    trainer = PriorTrainer(sampler, LatentTrainerSettings(gradient_norm=0.5))
    norms: list[float] = []
    step = trainer._optimizer.step

    def watched() -> None:
        gradients = [p.grad for p in sampler.prior.parameters() if p.grad is not None]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
        step()

    monkeypatch.setattr(trainer._optimizer, "step", watched)
    far = torch.tensor([[50.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    trainer.update([a_build(far, [1.0, 0.0], sampler.latent_sha256)])
    assert norms == [pytest.approx(0.5, rel=1e-3)]
    before = sampler.latent_sha256
    with pytest.raises(DivergedError) as caught:
        trainer.update([a_build(far * 1e30, [1.0, 0.0], before)])
    assert caught.value.sampler == "prior" and not math.isfinite(caught.value.loss)
    assert sampler.latent_sha256 == before and len(norms) == 1


def learn(sampler: PriorSampler, reward: Callable[[Tensor], Tensor], updates: int, **steps: Any) -> float:
    """Trains a prior on rewards of its latents themselves; the mean reward of fresh draws."""
    trainer = PriorTrainer(sampler, LatentTrainerSettings(**steps))
    for update in range(updates):
        latents = sampler.prior.sample(64, torch.Generator().manual_seed(update))
        trainer.update([a_build(latents, reward(latents).tolist(), sampler.latent_sha256)])
    return float(reward(sampler.prior.sample(2000, torch.Generator().manual_seed(10_000))).mean())


def quadratic(latents: Tensor) -> Tensor:
    """1 at the target, falling with the square of the distance; never below 0."""
    return (1 - (latents - TARGET).square().sum(1) / 12).clamp(min=0)


@pytest.mark.parametrize(("components", "baseline"), [(1, "mean"), (1, "leave_one_out"), (3, "mean")])
def test_a_normal_prior_comes_to_the_optimum_of_a_quadratic(chains: Vocabulary, components: int, baseline: str) -> None:
    sampler = prior_sampler(make_vae(chains), NormalPrior(3, components))
    before = float(quadratic(sampler.prior.sample(2000, torch.Generator().manual_seed(10_000))).mean())
    after = learn(sampler, quadratic, 250, learning_rate=0.05, baseline=BASELINES[baseline])
    assert before < 0.6 and after >= 0.95, f"the optimum is 1; from {before:.3f} to {after:.3f}"


def test_a_spherical_prior_comes_to_the_best_direction(chains: Vocabulary) -> None:
    best = nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5]), dim=0)
    sampler = prior_sampler(make_vae(chains, "spherical"), SphericalPrior(3))
    after = learn(sampler, lambda latents: (1 + latents @ best) / 2, 200, learning_rate=0.05)
    assert after >= 0.95, f"the optimum is 1, got {after:.3f}"
    assert float((sampler.prior.mean @ best).detach()) > 0.98


def carbon_share(raw: Sequence[str]) -> list[float]:
    return [text.count("C") / len(text) if text else 0.0 for text in raw]


def drawn_build(sampler: LatentSampler, n: int, seed: int) -> Build:
    """What a sampler draws, with the share of carbon as reward."""
    drawn = sampler.draw(n, seed)
    assert drawn.rows.latents is not None
    build = a_build(torch.from_numpy(drawn.rows.latents), carbon_share(drawn.raw), sampler.latent_sha256)
    samples = replace(build.samples, rows=drawn.rows)
    return replace(build, sampler=sampler.name, samples=samples)


def carbon_after(sampler: LatentSampler, trainer: VectorTrainer, updates: int) -> float:
    for update in range(updates):
        trainer.update([drawn_build(sampler, 32, update)])
    return float(np.mean(carbon_share(sampler.draw(500, 10_000).raw)))


class Dice(LatentModel):
    """A fixed decoder: each of six tokens is C, N or O with the logits 4 z; no row ends before that."""

    kind, condition_kind, latent_size = "dice", ConditionKind.LATENTS, 3

    def logits(self, latents: Tensor) -> Tensor:
        return torch.cat([torch.full((len(latents), 3), -torch.inf), 4 * latents], 1)

    def sample(
        self, n: int, *, condition: Condition, sampling: Sampling = Sampling(), generator: torch.Generator
    ) -> Sequences:
        latents = condition.latents_of(n, 3)
        drawn = decode(lambda _: self.logits(latents), n, longest=6, sampling=sampling, generator=generator)
        return replace(drawn, latents=latents)

    def log_probs(
        self, tokens: Tensor, lengths: Tensor, *, condition: Condition, sampling: Sampling = Sampling()
    ) -> Tensor:
        logits = self.logits(condition.latents_of(len(tokens), 3))
        return chosen_log_probs(logits[:, None].expand(-1, tokens.shape[1], -1), tokens, lengths, sampling)

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        raise NotImplementedError

    def architecture(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize(("spherical", "optimum"), [(False, 1.0), (True, 1 / (1 + 2 * math.exp(-4 * math.sqrt(1.5))))])
def test_latent_vectors_come_to_the_best_that_the_model_decodes(
    chains: Vocabulary, spherical: bool, optimum: float
) -> None:
    # On the unit sphere the share of C is largest at (2, −1, −1)/√6: its logit is then 4 · √1.5 above the others.
    policy = Policy(Dice(), chains, "dice")
    start = nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(2)), dim=1)
    sampler = LatentSampler("prior", lambda: policy, LatentState(LatentTable.of(start)))
    before = float(np.mean(carbon_share(sampler.draw(500, 10_000).raw)))
    trainer = VectorTrainer(sampler, LatentTrainerSettings(learning_rate=0.05), spherical=spherical)
    after = carbon_after(sampler, trainer, 150)
    assert before < 0.7 * optimum and after >= 0.95 * optimum, f"{before:.3f} to {after:.3f} of {optimum:.3f}"
    if spherical:
        assert_close(sampler.vectors.norm(dim=1).detach(), torch.ones(4))


def test_the_gradient_of_a_vector_is_that_of_its_own_rows_under_the_policy_that_drew_them(chains: Vocabulary) -> None:
    policy = make_vae(chains)
    vectors = torch.tensor([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5], [0.0, 0.0, 1.0]])
    sampler = LatentSampler("prior", lambda: policy, LatentState(LatentTable.of(vectors)), sampling=Sampling(1.4))
    drawn = sampler.draw(7, 5)
    assert drawn.rows.latents is not None
    rewards = torch.linspace(0, 1, 7)
    build = a_build(torch.from_numpy(drawn.rows.latents), rewards.tolist(), sampler.latent_sha256)
    samples = replace(build.samples, rows=drawn.rows)
    rows = rows_under([replace(build, samples=samples)], "prior", sampler.latent_sha256)
    assert rows is not None
    tokens, lengths = torch.from_numpy(rows.tokens.astype(np.int64)), torch.from_numpy(rows.lengths).long()
    trainer = VectorTrainer(sampler, LatentTrainerSettings(baseline=BASELINES["none"]))
    (found,) = torch.autograd.grad(trainer.loss(rows), sampler.vectors)
    expected = torch.zeros_like(vectors)
    for row in range(7):
        z = torch.from_numpy(drawn.rows.latents[row : row + 1]).clone().requires_grad_()
        likelihood = policy.model.log_probs(
            tokens[row : row + 1], lengths[row : row + 1],
            condition=Condition(latents=z), sampling=Sampling(1.4),
        )  # fmt: skip
        assert_close(likelihood.sum().detach(), torch.tensor(drawn.rows.log_probs[row].sum()), atol=1e-4, rtol=0)
        (gradient,) = torch.autograd.grad(likelihood.sum(), z)
        place = int((vectors == z.detach()).all(1).nonzero()[0, 0])
        expected[place] -= rewards[row] * gradient[0] / 7
    assert_close(found, expected, atol=1e-5, rtol=1e-4)
    trainer.update([replace(build, samples=samples)])
    assert sampler.vectors.grad is not None and all(p.grad is None for p in policy.model.parameters())


def with_prior(lab: Any, chains: Vocabulary, replay_ratio_clip: float | None = None, **plan: Any) -> Any:
    """A lab whose policy is a VAE, trained together with a prior that draws live and for the buffer."""
    policy = make_vae(chains)

    def samplers(agent: Callable[[], Policy]) -> Sequence[Sampler]:
        size = SamplerSize(12, 0.5)
        return [PriorSampler("prior", agent, LatentState(NormalPrior(3)), size=size)]

    def trainables(made: Sequence[Sampler]) -> Trainables:
        priors = [sampler for sampler in made if isinstance(sampler, PriorSampler)]
        return Trainables([PriorTrainer(sampler, replay_ratio_clip=replay_ratio_clip) for sampler in priors])

    return lab.adapted(
        prior=policy,
        make_samplers=samplers,
        make_trainables=trainables,
        loss=Reinvent(10.0),
        steps=LearnerSettings(1e-3),
        **plan,
    )


def test_r18_samplers_that_begin_with_the_same_vectors_learn_from_their_own_rows_only(
    store: SampleStore, chains: Vocabulary
) -> None:
    policy, vectors = Policy(Dice(), chains, "dice"), torch.eye(3)
    samplers = [LatentSampler(name, lambda: policy, LatentState(LatentTable.of(vectors))) for name in ("ours", "other")]
    ours, other = (VectorTrainer(sampler, LatentTrainerSettings(learning_rate=0.05)) for sampler in samplers)
    builds = [drawn_build(sampler, n, seed=1) for sampler, n in zip(samplers, (6, 9), strict=True)]
    assert builds[0].latent_sha256 == builds[1].latent_sha256
    rows = rows_under(builds, "ours", samplers[0].latent_sha256)
    assert rows is not None
    np.testing.assert_array_equal(rows.latents, builds[0].samples.rows.latents)
    assert ours.update([builds[1]]) == {"latent_loss": None, "latent_reward": None, "latent_rows": 0.0}
    assert_close(samplers[0].vectors.detach(), vectors)
    figures = Trainables([ours, other]).update(BatchOrigin(live=builds), store)
    assert (figures["latent_rows_ours"], figures["latent_rows_other"]) == (6, 9)


class StoppedError(Exception):
    """What stops a training in these tests."""


def stop_after(iteration: int) -> Callable[[FitProgress], None]:
    def progress(report: FitProgress) -> None:
        if report.iteration == iteration:
            raise StoppedError

    return progress


@pytest.mark.parametrize(("stops", "replay_ratio_clip"), [((1, 5), None), ((5,), 2.0)])
def test_r16_a_resumed_training_has_the_prior_of_one_that_was_never_stopped(
    lab: Any, chains: Vocabulary, tmp_path: Path, stops: tuple[int, ...], replay_ratio_clip: float | None
) -> None:
    plan = {"iterations": 7, "build_every": 3, "replay_ratio_clip": replay_ratio_clip}
    whole = with_prior(lab, chains, **plan).start()
    whole.fit(checkpoint_every=2)
    with SampleStore.create(tmp_path / "stopped") as store:
        stopped = with_prior(lab, chains, **plan).adapted(store=store)
        for stop in stops:
            with pytest.raises(StoppedError):
                stopped.start().fit(2, stop_after(stop))
        resumed = stopped.start()
        resumed.fit(2)
        assert resumed.samplers[0].latent_sha256 == whole.samplers[0].latent_sha256
        assert resumed.learner.policy().sha256 == whole.learner.policy().sha256
        versions = "SELECT iteration, event, latent_sha256 FROM {builds} ORDER BY ALL"
        assert store.read_arrow(versions).to_pylist() == lab.store.read_arrow(versions).to_pylist()


def test_every_version_that_drew_has_a_row_and_its_rows_have_densities(lab: Any, chains: Vocabulary) -> None:
    training = with_prior(lab, chains, iterations=5, build_every=2).start()
    training.fit(checkpoint_every=2)
    builds = lab.store.read_arrow("SELECT build_id, iteration, event, latent_sha256 FROM {builds}").to_pylist()
    of_iteration = {row["iteration"]: row["latent_sha256"] for row in builds}
    assert len(set(of_iteration.values())) == 5, "each step makes a version of its own"
    for row in builds:
        assert row["latent_sha256"] == of_iteration[row["iteration"]]
    known = {row["sha256"] for row in lab.store.read_arrow("SELECT sha256 FROM {policies}").to_pylist()}
    assert set(of_iteration.values()) <= known
    first = next(row for row in builds if row["event"] == "build_buffer" and row["iteration"] == 0)
    samples = lab.store.build(first["build_id"]).samples
    prior = load_latents(lab.store.policies.folder(first["latent_sha256"]))
    assert isinstance(prior, NormalPrior)
    expected = prior.log_prob(torch.from_numpy(samples.rows.latents)).detach()
    assert_close(torch.from_numpy(samples.rows.latent_log_probs), expected)
    assert not lab.store.verify().errors
    sql = "SELECT iteration, value FROM {metrics} WHERE name = 'latent_rows_prior' ORDER BY iteration"
    counted = {row["iteration"]: row["value"] for row in lab.store.read_arrow(sql).to_pylist()}
    sql = "SELECT b.iteration, count(*) AS n FROM {samples} s JOIN {builds} b USING (build_id) GROUP BY ALL ORDER BY 1"
    drawn = {row["iteration"]: row["n"] for row in lab.store.read_arrow(sql).to_pylist()}
    assert counted == drawn, "rows of both events count, rejected ones too"


def test_r23_a_training_replays_what_the_prior_drew_for_the_buffer_in_earlier_iterations(
    lab: Any, chains: Vocabulary
) -> None:
    training = with_prior(lab, chains, replay_ratio_clip=2.0, iterations=6, build_every=3).start()
    counts: list[int] = []
    for mixed in training.loader:
        figures = training.trainables.update(mixed.origin, lab.store)
        drawn = sum(len(build.samples) for build in mixed.origin.live) + sum(each.drawn for each in mixed.origin.built)
        assert figures["latent_rows_prior"] == drawn
        assert figures["latent_replayed_prior"] == sum(lag > 0 for lag in mixed.origin.lags)
        counts.append(int(figures["latent_replayed_prior"]))
    assert counts[0] == 0 and counts[1:3] == [4, 4], "half of each batch, after the first, is of iteration 0"
    assert 0 < figures["latent_replay_weight_prior"] <= 2


def test_a_frozen_prior_stays_as_it_is_while_the_decoder_learns(lab: Any, chains: Vocabulary) -> None:
    frozen = with_prior(lab, chains, iterations=3).adapted(make_trainables=lambda _: Trainables())
    training = frozen.start()
    before, decoder = training.samplers[0].latent_sha256, training.learner.policy().sha256
    training.fit()
    assert training.samplers[0].latent_sha256 == before
    assert training.learner.policy().sha256 != decoder
    versions = lab.store.read_arrow("SELECT DISTINCT latent_sha256 FROM {builds}").to_pylist()
    assert versions == [{"latent_sha256": before}]


def test_the_prior_and_the_decoder_learn_together(lab: Any, chains: Vocabulary) -> None:
    training = with_prior(lab, chains, iterations=60, batch_size=24, build_every=1000).adapted(
        make_trainables=lambda made: Trainables([PriorTrainer(made[0], LatentTrainerSettings(0.05))])
    ).start()  # fmt: skip

    def share() -> float:
        raw = [text for seed in range(3) for text in training.samplers[0].draw(100, seed).raw]
        return float(np.mean(carbon_share(raw)))

    before = share()
    training.fit(checkpoint_every=60)
    assert share() > before + 0.2, f"from {before:.3f} to {share():.3f}"


def test_likelihoods_of_prior_and_agent_are_those_of_two_models(lab: Any, chains: Vocabulary) -> None:
    # With the agent's weights in both places, the ratio of the likelihoods would be 1 for good.
    training = with_prior(lab, chains, iterations=4).start()
    training.fit()
    learner, drawn = training.learner, training.samplers[0].draw(20, 1)
    condition = Condition(latents=torch.from_numpy(drawn.rows.latents))
    tokens, lengths = torch.from_numpy(drawn.rows.tokens.astype(np.int64)), torch.from_numpy(drawn.rows.lengths).long()
    of_agent, of_prior = (
        model.log_probs(tokens, lengths, condition=condition).detach()
        for model in (learner.policy().model, learner.prior.model)
    )
    assert_close(of_agent, torch.from_numpy(drawn.rows.log_probs), atol=1e-4, rtol=0)
    assert not torch.allclose(of_agent, of_prior, atol=1e-3)
