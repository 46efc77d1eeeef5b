"""Stages of a run: each has its own values, is seen in SQL, and goes on where a process was killed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.settings.overrides import Override
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings, warnings_of
from molbuffer.flows.train import train
from molbuffer.storage import SampleStore

STAGES = """
[[stages]]
name = "small"
iterations = 3
objective = { components = [{ kind = "similarity", target = "CCOc1ccccc1" }] }
samplers = [{ name = "live", p_batch = 1.0, buffer_size = 8 }]
training = { loss = "filtered_cloning" }

[[stages]]
oracle_calls = 10

[[stages]]
training = { sigma = 30, learning_rate = 1e-3 }
filters = []
"""
ROWS = """SELECT stage, iteration, event, sampler, "row", raw, rejected_by, reward, objective_sha256, policy_sha256
    FROM sample_history WHERE run_id = ? ORDER BY iteration, event, sampler, "row", raw"""
METRICS = """SELECT iteration, name, value FROM metrics WHERE run_id = ? AND name NOT LIKE 'seconds%' ORDER BY ALL"""


def settings_of(template: Path, folder: Path, stages: str = STAGES, iterations: int = 8) -> Settings:
    path = folder / "stages.toml"
    text = template.read_text().replace("iterations = 4", f"iterations = {iterations}")
    path.write_text(text.replace("[training]", "[training]\nsigma = 20") + stages)
    return load_settings(path)


def read(store: Path, sql: str, *parameters: Any) -> pl.DataFrame:
    with SampleStore.open(store, read_only=True) as opened:
        return opened.query(sql, list(parameters))


@pytest.mark.usefixtures("prefect_server")
def test_stages_follow_one_another_and_a_killed_run_takes_the_same_course(
    tiny_template: Path, tmp_path: Path, trained_through_kills: Callable[..., dict[str, Any]]
) -> None:
    settings = settings_of(tiny_template, tmp_path, iterations=6)
    config, folder = settings.to_json(), tmp_path / "whole"
    whole = train(config, str(folder))
    assert (whole["iterations"], whole["ended"]) == (6, None)

    first, last = (build_objective(each).sha256 for each in (settings.of_stage(0), settings))
    rows = read(folder, ROWS, whole["run_id"])
    by_stage = dict(rows.group_by("stage").agg(pl.col("objective_sha256").unique().first()).rows())
    assert by_stage == {0: first, 1: last, 2: last}
    assert set(rows.filter(stage=2)["rejected_by"].drop_nulls().unique()) <= {"validity", "valence"}
    metric = "SELECT value FROM metrics WHERE name = 'stage' ORDER BY iteration"
    assert read(folder, metric)["value"].to_list()[:5] == [0, 0, 0, 1, 2]
    live = read(folder, "SELECT iteration, value FROM metrics WHERE name = 'share_buffer' ORDER BY iteration")
    assert live["iteration"].min() == 3, "in the first stage all rows are live"
    known = read(folder, "SELECT DISTINCT objective_sha256 FROM objectives")["objective_sha256"]
    assert set(known) == {first, last}
    # Rows of the first stage have no reward under the other objective, so that the second one builds at once.
    builds = read(folder, "SELECT iteration, stage FROM builds WHERE event = 'build_buffer' ORDER BY iteration")
    assert (3, 1) in builds.rows()

    other, run_id = tmp_path / "killed", "f" * 32
    resumed = trained_through_kills(config, other, run_id, at=(6, 13))
    assert resumed["policy"] == whole["policy"]
    assert_frame_equal(read(other, ROWS, run_id), rows)
    assert_frame_equal(read(other, METRICS, run_id), read(folder, METRICS, whole["run_id"]))


def problems(template: Path, folder: Path, stages: str, iterations: int = 8) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(template, folder, stages, iterations)
    return [str(problem) for problem in caught.value.problems]


def test_each_stage_is_checked_as_a_whole_configuration(tiny_template: Path, tmp_path: Path) -> None:
    check: Callable[..., list[str]] = lambda *given: problems(tiny_template, tmp_path, *given)  # noqa: E731
    (one,) = check("[[stages]]\niterations = 2\n[[stages]]\ntraining = { learning_rat = 1.0 }\n")
    assert "key `stages[1].training.learning_rat`: this key is not known; did you mean `learning_rate`?" in one
    assert one.startswith("line ")
    (one,) = check('[[stages]]\nsamplers = [{ name = "live", p_batch = 1.5 }]\n')
    assert "key `stages[0].samplers[0].p_batch`: " in one
    (one,) = check('[[stages]]\nsamplers = [{ name = "dead", p_batch = 0.5 }]\n')
    assert 'key `stages[0].samplers[0].name`: got "dead", expected a sampler of the run: live' in one
    (one,) = check('[[stages]]\nsamplers = [{ name = "live", policy = "prior" }]\n')
    assert "key `stages[0].samplers[0].policy`: this key of a sampler is the same in all stages" in one
    (one,) = check('[[stages]]\ntraining = { loss = "reinforce" }\n')
    assert "key `stages[0]" in one
    assert "the policy in training has just drawn" in one
    (one,) = check('[[stages]]\nname = "endless"\n[[stages]]\n')
    assert "key `stages[0]`: each stage but the last needs an end" in one
    (one,) = check("[[stages]]\niterations = 8\n[[stages]]\n")
    assert "key `stages`: the stages before the last one have 8 iterations, and the run has 8" in one
    (one,) = check('[[stages]]\nobjective = { components = [{ kind = "python", function = "nowhere:f" }] }\n')
    assert "key `stages[0].objective" in one


def test_a_stage_is_laid_over_the_run_and_not_over_the_stage_before(tiny_template: Path, tmp_path: Path) -> None:
    settings = settings_of(tiny_template, tmp_path)
    assert Settings.from_json(settings.to_json()) == settings
    first, second, third = (settings.of_stage(number) for number in range(3))
    assert [each.training.loss.kind for each in (first, second, third)] == ["filtered_cloning", "reinvent", "reinvent"]
    assert [each.training.sigma for each in (first, second, third)] == [None, 20, 30]
    assert [each.samplers[0].p_batch for each in (first, second, third)] == [1.0, 0.5, 0.5]
    assert [each.samplers[0].buffer_size for each in (first, second, third)] == [8, 24, 24]
    assert [[each.kind for each in stage.filters] for stage in (second, third)] == [
        ["valence", "property"],
        ["valence"],
    ]
    memory = settings_of(tiny_template, tmp_path, "[[stages]]\ndiversity = { size = 3 }\n")
    found = memory.of_stage(0).diversity
    [told] = warnings_of(memory.model_copy(update={"campaign": memory.campaign.model_copy(update={"offline": True})}))
    assert "stages are parts of an online run" in told
    assert memory.diversity is None and found is not None
    assert found.build().size == 3
    plain = json.loads(second.to_json())
    whole = json.loads(settings.to_json())
    assert {**whole, "stages": []} == plain


def test_a_label_that_counts_calls_is_refused_and_a_guard_that_sees_nothing_is_told_of(
    tiny_template: Path, tmp_path: Path
) -> None:
    (one,) = problems(tiny_template, tmp_path, '[[filters]]\nkind = "valence"\nlabel = "budget"\n')
    assert 'key `filters[1].label`: "budget" is a reason for which a run itself rejects rows' in one
    watched = settings_of(tiny_template, tmp_path, "[guard]\n")
    assert not any("guard" in text for text in warnings_of(watched))
    blind = load_settings(tmp_path / "stages.toml", [Override.parse("samplers[live].p_batch=0")])
    assert any("so that the guard sees nothing: give one a p_batch" in text for text in warnings_of(blind))
