"""Screening of a campaign: by tasks and live, in a stage of it, and the same where a process was killed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.resuming import check_resumed
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.train import train
from molbuffer.storage import Run, RunConflictError, RunKind, SampleStore

SCREENED = """
[screening]
candidates = 3.0
warm_up = 6
acquisition = { kind = "ucb", highest = 0.5 }

[[stages]]
iterations = 3

[[stages]]
screening = { candidates = 5.0, explore = 0.0, acquisition = "ei" }
"""
ROWS = """SELECT stage, iteration, event, "row", raw, rejected_by, reward, predicted_reward, predicted_sd, acquisition,
    picked_by FROM sample_history WHERE run_id = ? ORDER BY iteration, event, sampler, chunk, "row" """


def read(store: Path, sql: str, *parameters: Any) -> pl.DataFrame:
    with SampleStore.open(store, read_only=True) as opened:
        return opened.query(sql, list(parameters))


@pytest.mark.usefixtures("prefect_server")
def test_a_killed_campaign_screens_what_it_would_have_screened(
    tiny_config: Path, tmp_path: Path, trained_through_kills: Callable[..., dict[str, Any]]
) -> None:
    text = tiny_config.read_text().replace("iterations = 4", "iterations = 6")
    tiny_config.write_text(text + SCREENED)
    config, folder = load_settings(tiny_config).to_json(), tmp_path / "whole"
    whole = train(config, str(folder))
    rows = read(folder, ROWS, whole["run_id"])
    assert set(rows.filter(event="sample_batch", stage=0)["picked_by"].drop_nulls()) <= {"model", "chance"}
    assert set(rows.filter(event="sample_batch", stage=1)["picked_by"].drop_nulls()) == {"model"}
    assert rows.filter(rejected_by="screening")["predicted_reward"].is_not_null().all()
    assert rows.filter(event="build_buffer", iteration=0)["picked_by"].drop_nulls().unique().to_list() == ["warm_up"]
    models = [json.loads(each) for each in read(folder, "SELECT screening FROM builds WHERE stage = 1").to_series()]
    assert all("candidates=5.0" in each["screening"] for each in models)

    other, run_id = tmp_path / "killed", "f" * 32
    resumed = trained_through_kills(config, other, run_id, at=(5, 11))
    assert resumed["policy"] == whole["policy"]
    assert_frame_equal(read(other, ROWS, run_id), rows)


PMO = """
[screening]
runs = ["abc", "own"]

[[objective.components]]
kind = "pmo"
task = "qed"
cost = "high"

[[samplers]]
kind = "model"
name = "live"
p_batch = 1.0
"""


def test_what_is_predicted_stays_so_when_a_run_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "screened.toml"
    path.write_text(PMO)
    settings = load_settings(path)
    assert settings.screening is not None
    assert settings.screening.build().runs == ("abc", "own")
    path.write_text(PMO.replace("high", "low"))
    cheap = load_settings(path)
    sha256 = build_objective(settings).sha256
    with SampleStore.create(tmp_path / "store") as store:
        store.start_run(Run("a" * 32, "x", RunKind.TRAIN, settings.to_json(), 0, objective_sha256=sha256))
        with pytest.raises(RunConflictError, match=r"components.*cost"):
            check_resumed(store, "a" * 32, RunKind.TRAIN, cheap)
        without, cheap = (
            Settings.model_validate({**each.model_dump(mode="json"), "screening": None}) for each in (settings, cheap)
        )
        store.start_run(Run("b" * 32, "x", RunKind.TRAIN, without.to_json(), 0, objective_sha256=sha256))
        check_resumed(store, "b" * 32, RunKind.TRAIN, cheap)
