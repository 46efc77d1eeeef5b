"""R21, R22: a loss is given rows that it is valid on, or the training ends with their number and origin."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.batches.buffer import BUFFER, BufferView
from molbuffer.training.errors import UnsuitableDataError
from molbuffer.training.fit.suitability import check_rows
from molbuffer.training.losses import PPO, Reinforce, Reinvent


def batch(origins: list[str], *, unknown: tuple[int, ...] = (), truncated: tuple[int, ...] = ()) -> TrainingBatch:
    n = len(origins)
    log_probs = torch.full((n, 2), -1.0)
    log_probs[list(unknown)] = torch.nan
    columns = {"log_probs": log_probs, "lengths": torch.full((n,), 2)}
    if truncated:
        columns["truncated"] = torch.tensor([int(row in truncated) for row in range(n)])
    return TrainingBatch(3, columns, origins)


def test_r22_rows_without_a_likelihood_are_refused_by_a_loss_that_needs_it() -> None:
    given = batch(["file", "agent", "file", BUFFER], unknown=(0, 2, 3))
    with pytest.raises(UnsuitableDataError, match="3 of 4 rows have no behaviour") as caught:
        check_rows(PPO(), given)
    assert caught.value.rows == {"file": 2, BUFFER: 1}
    assert "2 of file, 1 of buffer" in str(caught.value) and "PPO(" in str(caught.value)
    check_rows(Reinvent(), given)
    check_rows(PPO(), batch(["agent", BUFFER]))


def test_r21_truncated_rows_are_refused_unless_they_are_allowed() -> None:
    given = batch(["agent", "sharp"], truncated=(1,))
    with pytest.raises(UnsuitableDataError, match="1 of 2 rows have been drawn with top_k or top_p") as caught:
        check_rows(PPO(), given)
    assert caught.value.rows == {"sharp": 1} and "allow_truncated = true" in str(caught.value)
    check_rows(PPO(allow_truncated=True), given)
    check_rows(Reinvent(), given)


def test_r22_stored_rows_are_refused_by_a_loss_that_is_valid_on_policy() -> None:
    with pytest.raises(UnsuitableDataError, match="2 of 3 rows have been stored before"):
        check_rows(Reinforce(), batch(["agent", BUFFER, BUFFER]))
    check_rows(Reinforce(), batch(["agent", "agent"]))


@pytest.fixture
def stored(lab: Any, chains: Vocabulary, tmp_path: Path) -> Any:
    """A lab whose store has rows of the agent, of the agent with top_k, and of a file."""
    (tmp_path / "some.smi").write_text("CCO\nCCN\nCOC\n")

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        return [
            ModelSampler("agent", policy, size=SamplerSize(8, 0.25), sampling=Sampling(1.5)),
            ModelSampler("sharp", policy, size=SamplerSize(8, 0.25), sampling=Sampling(1.0, top_k=2)),
            DatasetSampler("file", tmp_path / "some.smi", chains, size=SamplerSize(2, 0.25)),
        ]

    changed = lab.adapted(iterations=1, make_samplers=samplers)
    changed.start().fit()
    return changed


OFFLINE: list[tuple[str | None, Any, set[str]]] = [
    (None, PPO(), {"file"}),
    ("sampler != 'file'", PPO(), {"sharp"}),
    ("sampler = 'agent'", PPO(), set()),
    ("sampler != 'file'", PPO(allow_truncated=True), set()),
    (None, Reinvent(), set()),
    (None, Reinforce(), {BUFFER}),
]
"""Conditions on the stored rows, losses, and the origins of the rows that are refused."""


def test_an_offline_training_is_refused_before_its_first_step(stored: Any) -> None:
    for number, (where, loss, expected) in enumerate(OFFLINE):
        offline = stored.adapted(run_id=f"offline {number}", batch_size=4, iterations=1, loss=loss)
        training = offline.start_offline(BufferView(stored.objective.sha256, where=where))
        if not expected:
            training.fit()
            continue
        before = training.learner.policy().sha256
        with pytest.raises(UnsuitableDataError) as caught:
            training.fit()
        assert set(caught.value.rows) == expected and training.learner.policy().sha256 == before
        assert loss != Reinforce() or "Uniform()" in str(caught.value), "the selection"


def test_a_batch_says_which_rows_were_truncated_live_and_from_the_buffer(stored: Any) -> None:
    again = stored.adapted(run_id="again", batch_size=8, iterations=1)
    (mixed,) = again.start().loader
    expected = [origin == "sharp" for origin in mixed.batch.origins if origin != BUFFER]
    assert mixed.batch.columns["truncated"][: len(expected)].bool().tolist() == expected and any(expected)
    offline = stored.adapted(run_id="offline", batch_size=15, iterations=1).start_offline()
    index = offline.loader.buffer.index
    sharp = [build["sampler"] == "sharp" for build in index.builds.to_pylist()]
    assert index.truncated.tolist() == [sharp[number] for number in index.build_numbers.tolist()]
    (mixed,) = offline.loader
    assert 0 < int(mixed.batch.columns["truncated"].sum()) < 15


def test_a_loss_that_is_valid_on_policy_has_shortfalls_drawn_and_not_recalled(lab: Any) -> None:
    class Scarce(ModelSampler):
        def draw(self, n: int, seed: int) -> Any:
            return super().draw(min(n, 1), seed)

    def samplers(policy: Callable[[], Policy]) -> list[Any]:
        return [
            Scarce("scarce", policy, size=SamplerSize(0, 0.75)),
            ModelSampler("agent", policy, size=SamplerSize(8, 0.25)),
        ]

    for loss in (Reinforce(), Reinvent()):
        training = lab.adapted(
            run_id=type(loss).__name__, batch_size=16, iterations=3, loss=loss, make_samplers=samplers
        ).start()
        original = training.learner.step
        seen: list[TrainingBatch] = []
        training.learner.step = lambda given, seen=seen, original=original: seen.append(given) or original(given)
        training.fit()
        origins = Counter(origin for each in seen for origin in each.origins)
        assert sum(origins.values()) == 48
        assert (BUFFER in origins) == (type(loss) is Reinvent), origins
