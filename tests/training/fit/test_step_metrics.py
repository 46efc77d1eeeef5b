"""The metrics of a training step, by hand and in the store, and the state of a loss in a run that is resumed."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from molbuffer.storage import SampleStore
from molbuffer.training.fit.loop import FitProgress
from molbuffer.training.fit.step_metrics import step_metrics
from molbuffer.training.losses import PPO, OffPolicyReinvent, Reinvent, ScoredSequences, TrajectoryBalance

NAN = math.nan
# The ratios of the rows are 2 and 0.5; the behaviour of the third is not known.
AGENT = torch.tensor([[0.5, 0.8], [0.2, 1.0], [0.5, 0.5]]).log()
BEHAVIOUR = torch.tensor([[0.25, 0.8], [0.4, 1.0], [NAN, NAN]]).log()
ROWS = ScoredSequences(AGENT, AGENT + 0.25, BEHAVIOUR, torch.tensor([2, 1, 2]), torch.tensor([1.0, 0.0, 0.5]))


def test_metrics_by_hand() -> None:
    found = step_metrics(Reinvent(), ROWS, torch.tensor(3.5))
    assert found == {
        "effective_sample_size": pytest.approx(2.5**2 / (2 * (4 + 0.25))),
        "weight_mean": pytest.approx(1.25),
        "weight_max": pytest.approx(2.0),
        "kl_behaviour": pytest.approx(0.0, abs=1e-6),
        "kl_prior": pytest.approx(-0.5),
        "clipped": None,
        "gradient_norm": 3.5,
    }


def test_metrics_without_a_known_behaviour_are_undefined() -> None:
    unknown = ScoredSequences(AGENT, AGENT, BEHAVIOUR * NAN, ROWS.lengths, ROWS.rewards)
    found = step_metrics(Reinvent(), unknown, torch.tensor(1.0))
    assert {name for name, value in found.items() if value is not None} == {"kl_prior", "gradient_norm"}


def test_the_effective_sample_size_is_that_of_torchrl() -> None:
    # ClipPPOLoss of torchrl 0.14.1 reports 0.9267 for these rows of one token.
    agent = torch.tensor([[-0.5865523], [-0.4632642], [-0.9208276]])
    behaviour = torch.tensor([[-1.2], [-0.9], [-0.8]])
    rows = ScoredSequences(agent, agent, behaviour, torch.ones(3), torch.zeros(3))
    assert step_metrics(Reinvent(), rows, torch.tensor(1.0))["effective_sample_size"] == pytest.approx(0.9267, abs=1e-4)


def test_the_share_that_a_loss_bounds_is_a_metric() -> None:
    known = ScoredSequences(AGENT[:2], AGENT[:2], BEHAVIOUR[:2], ROWS.lengths[:2], ROWS.rewards[:2])
    assert step_metrics(OffPolicyReinvent(max_weight=1.5), known, torch.tensor(1.0))["clipped"] == 0.5
    # Of three tokens, 2 with a reward above the mean and 0.5 with one below.
    assert step_metrics(PPO(), known, torch.tensor(1.0))["clipped"] == pytest.approx(2 / 3)


def test_a_weight_beyond_any_number_is_reported_as_a_large_one() -> None:
    far = ScoredSequences(AGENT, AGENT, AGENT - 1e4, ROWS.lengths, ROWS.rewards)
    found = step_metrics(Reinvent(), far, torch.tensor(1.0))
    assert all(value is None or math.isfinite(value) for value in found.values())


STEPS = """SELECT iteration, name, value FROM metrics WHERE event IS NULL AND name NOT LIKE 'seconds%' ORDER BY ALL"""


class StoppedError(Exception):
    pass


def stop(report: FitProgress) -> None:
    if report.iteration == 3:
        raise StoppedError


def test_r16_a_resumed_run_has_the_state_of_its_loss_and_the_metrics_of_each_step(lab: Any, tmp_path: Path) -> None:
    changed = lab.adapted(iterations=4, loss=TrajectoryBalance(beta=10.0))
    whole = changed.start()
    whole.fit()
    with SampleStore.create(tmp_path / "stopped") as store:
        other = changed.adapted(store=store)
        with pytest.raises(StoppedError):
            other.start().fit(progress=stop)
        resumed = other.start()
        assert resumed.loader.iteration == 2
        resumed.fit()
        expected, found = (training.store.query(STEPS).rows() for training in (whole, resumed))
    assert expected == found
    assert resumed.learner.policy().sha256 == whole.learner.policy().sha256
    names = {name for iteration, name, _ in expected if iteration == 3}
    wanted = {
        "effective_sample_size",
        "weight_mean",
        "weight_max",
        "kl_behaviour",
        "kl_prior",
        "clipped",
        "gradient_norm",
    }
    assert names >= wanted
    # From the buffer comes half of each batch.
    for name in ("seconds_waiting", "seconds_drawing", "seconds_learning"):
        seconds = whole.store.query(f"SELECT value FROM metrics WHERE name = '{name}'").to_series()
        assert len(seconds) == 4 and seconds.min() > 0
