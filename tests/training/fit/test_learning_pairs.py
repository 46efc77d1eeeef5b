"""R18, R24: a conditional policy learns from the rewards of pairs, an unconditional one from their targets.

The molecules are chains of six C, N and O. The best target of any source is the chain of C alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from molbuffer.samplers.base import Sampler, SamplerSize
from molbuffer.samplers.contrastive import ContrastiveSampler
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.tokens.vocabulary import END, Vocabulary
from molbuffer.scoring import ContrastiveTemplate, standardise_smiles
from molbuffer.storage.history.selections import Uniform
from molbuffer.storage.records import Event
from molbuffer.training.errors import UnsuitableDataError
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.losses import Reinvent

LENGTH = 6
LOSS, STEPS = Reinvent(100.0), LearnerSettings(learning_rate=3e-3)


def random_chains(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(END + 1, END + 4, (n, LENGTH + 1), generator=generator)
    tokens[:, LENGTH] = END
    return tokens, torch.full((n,), LENGTH + 1)


@pytest.fixture(scope="module")
def copier(chains: Vocabulary) -> Policy:
    """Was taught to copy a chain with one of its atoms changed at random."""
    torch.manual_seed(0)
    model = Seq2SeqModel(
        Seq2SeqArchitecture(len(chains), hidden_size=32, encoder_layers=1, decoder_layers=1, heads=2, max_length=8)
    )
    optimizer, generator = torch.optim.Adam(model.parameters(), 5e-3), torch.Generator().manual_seed(1)
    for _ in range(250):
        sources, lengths = random_chains(64, generator)
        targets, rows = sources.clone(), torch.arange(64)
        place = torch.randint(LENGTH, (64,), generator=generator)
        targets[rows, place] = torch.randint(END + 1, END + 4, (64,), generator=generator)
        condition = Condition(sources=sources, source_lengths=lengths)
        loss = -model.log_probs(targets, lengths, condition=condition).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return Policy(model, chains, fingerprint(model, chains))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A file of different chains."""
    tokens, _ = random_chains(200, torch.Generator().manual_seed(2))
    names = ["", "", "", "C", "N", "O"]
    chains = {standardise_smiles("".join(names[token] for token in row)) for row in tokens[:, :LENGTH].tolist()}
    path = tmp_path / "sources.smi"
    path.write_text("\n".join(sorted(chain for chain in chains if chain)))
    return path


@pytest.fixture
def pairs(lab: Any, copier: Policy, chains: Vocabulary, sources: Path) -> Any:
    """A lab whose policy draws pairs from the file, most of each batch live, and learns from them."""

    def samplers(policy: Callable[[], Policy]) -> Sequence[Sampler]:
        base = DatasetSampler("sources", sources, chains, replacement=True)
        return [ContrastiveSampler("pairs", base, policy, size=SamplerSize(32, 0.75), repeats=2)]

    return lab.adapted(prior=copier, make_samplers=samplers, batch_size=32, build_every=10, loss=LOSS, steps=STEPS)


def improvements(training: Any, policy: Policy) -> tuple[float, float]:
    """The mean reward of fresh targets, and the mean of what they have beyond their sources."""
    contrastive = training.samplers[0]
    drawn = ContrastiveSampler("fresh", contrastive.base_sampler, lambda: policy).draw(300, seed=9)
    target, source = (
        np.array([text.count("C") / max(1, len(text)) for text in texts]) for texts in (drawn.raw, drawn.source_smiles)
    )
    return float(target.mean()), float((target - source).mean())


def test_a_conditional_policy_comes_near_the_optimum_by_the_rewards_of_pairs(pairs: Any, copier: Policy) -> None:
    fast = replace(STEPS, learning_rate=1e-2)
    changed = pairs.adapted(template=ContrastiveTemplate(scaled=True), batch_size=48, iterations=36, steps=fast)
    training = changed.start()
    before, nothing_gained = improvements(training, copier)
    training.fit(checkpoint_every=18)
    after, gained = improvements(training, training.learner.policy())
    assert before < 0.5 and abs(nothing_gained) < 0.1
    assert after >= 0.95, f"the optimum is 1; from {before:.3f} to {after:.3f}"
    assert gained > 0.5, f"from {nothing_gained:.3f} to {gained:.3f}"
    metrics = training.store.read_arrow(
        "SELECT m.iteration, m.value FROM {metrics} m WHERE name = 'improvement' AND event = 'sample_batch' ORDER BY 1"
    )["value"].to_pylist()
    assert metrics[0] < 0.15 and np.mean(metrics[-5:]) > 0.5


def test_within_bounds_of_similarity_a_conditional_policy_improves_what_it_is_given(pairs: Any, copier: Policy) -> None:
    template = ContrastiveTemplate(min_similarity=0.2, max_similarity=0.99)
    fast = replace(STEPS, learning_rate=1e-2)
    training = pairs.adapted(template=template, iterations=12, steps=fast).start()
    _, before = improvements(training, copier)
    training.fit(checkpoint_every=6)
    _, after = improvements(training, training.learner.policy())
    assert after > before + 0.1, f"from {before:.3f} to {after:.3f}"
    kept = training.store.read_arrow(
        "SELECT smiles, source_smiles FROM {samples} WHERE rejected_by IS NULL AND source_smiles IS NOT NULL"
    ).to_pylist()
    assert kept and all(row["smiles"] != row["source_smiles"] for row in kept)


def test_offline_a_conditional_policy_learns_from_stored_pairs(pairs: Any, copier: Policy) -> None:
    template = ContrastiveTemplate(scaled=True)
    history = pairs.adapted(template=template, iterations=1).start()
    _, before = improvements(history, copier)
    for iteration in range(6):
        history.build_buffer(iteration)
    offline = pairs.adapted(template=template, run_id="offline", iterations=50, selection=Uniform()).start_offline()
    offline.fit(checkpoint_every=50)
    _, after = improvements(history, offline.learner.policy())
    assert after > before + 0.15, f"from {before:.3f} to {after:.3f}"


def test_r18_an_unconditional_policy_learns_from_the_targets_with_their_own_rewards(
    pairs: Any, lab: Any, copier: Policy, chains: Vocabulary, sources: Path
) -> None:
    def samplers(policy: Callable[[], Policy]) -> Sequence[Sampler]:
        base = DatasetSampler("sources", sources, chains, replacement=True)
        return [
            ContrastiveSampler("pairs", base, lambda: copier, size=SamplerSize(8, 0.5)),
            ModelSampler("own", policy, size=SamplerSize(8, 0.25)),
        ]

    training = lab.adapted(make_samplers=samplers, template=ContrastiveTemplate(scaled=True), iterations=3).start()
    seen = []
    original = training.learner.step
    training.learner.step = lambda batch: seen.append(batch) or original(batch)
    training.fit()
    names = np.array(["", "", "", "C", "N", "O"])
    for batch in seen:
        assert set(batch.origins) >= {"pairs", "own"}
        for row, length, reward in zip(
            batch.tokens.tolist(), batch.lengths.tolist(), batch.rewards.tolist(), strict=True
        ):
            text = "".join(names[row[:length]])
            assert reward == pytest.approx(text.count("C") / len(text))


def test_r18_a_conditional_policy_refuses_live_rows_without_a_source(pairs: Any, lab: Any, chains: Vocabulary) -> None:
    def samplers(policy: Callable[[], Policy]) -> Sequence[Sampler]:
        return [ModelSampler("alone", lambda: lab.prior, size=SamplerSize(8, 1.0))]

    mixed = pairs.adapted(make_samplers=samplers, template=ContrastiveTemplate())
    with pytest.raises(UnsuitableDataError) as of_the_sampler:
        mixed.start().fit()
    with pytest.raises(UnsuitableDataError) as of_the_batch:
        mixed.adapted(template=None, run_id="plain").start().fit()
    assert of_the_sampler.value.rows.keys() == of_the_batch.value.rows.keys() == {"alone"}


def test_without_a_template_a_conditional_policy_learns_from_plain_rewards(pairs: Any) -> None:
    training = pairs.adapted(iterations=1).start()
    training.fit()
    builds = training.store.receipts("run", event=Event.SAMPLE_BATCH)
    assert builds[0].kept == 24
    kinds = training.store.read_arrow("SELECT DISTINCT objective_sha256 FROM {rewards}")
    assert kinds["objective_sha256"].to_pylist() == [pairs.objective.sha256]
