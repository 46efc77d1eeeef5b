"""The sampler of the history in a configuration file, and in a campaign."""

from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import TypeAdapter

from molbuffer.flows.campaign.samplers import build_sampler
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.samplers import SamplerSettings
from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks import local_builder
from molbuffer.flows.work import run_online
from molbuffer.kinds import OneOf
from molbuffer.samplers.by_scaffold import ByScaffold
from molbuffer.samplers.history import HistorySampler
from molbuffer.samplers.policies.policy import open_policy
from molbuffer.samplers.tables import SAMPLERS, RunParts
from molbuffer.scoring import Standardisation
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import PredicateError, UnknownRunError
from molbuffer.storage.history.selections import AboveQuantile, Recent, TopK, Uniform
from molbuffer.storage.records import Run, RunKind

HISTORY = """
[[samplers]]
kind = "history"
name = "again"
"""
QED = '[[objective.components]]\nkind = "qed"\n'
LIVE = '[[samplers]]\nkind = "model"\nname = "live"\nbuffer_size = 10\np_batch = 0.5\n'


SETTINGS = TypeAdapter(Annotated[SamplerSettings, OneOf(SAMPLERS, SamplerSettings)])


def problems(tmp_path: Path, keys: str) -> list[str]:
    path = tmp_path / "campaign.toml"
    path.write_text(QED + LIVE + HISTORY + keys)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(path)
    return [str(problem) for problem in raised.value.problems]


def test_a_key_of_another_choice_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, 'select = { kind = "top_k", quantile = 0.5 }\n')
    assert "samplers[1].select.quantile`: this key is not known" in found
    (found,) = problems(tmp_path, 'select = "consume_once"\n')
    assert 'samplers[1].select`: got kind "consume_once", expected one of: each_molecule' in found
    (found,) = problems(tmp_path, 'select = "best"\n')
    assert "uniform" in found and "scaffold" in found


def test_a_condition_that_cannot_be_applied_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, 'where = "no_such_column > 1"\n')
    assert "samplers[1].where" in found and "no_such_column" in found


def test_a_sampler_of_stored_rows_fills_no_buffer(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "buffer_size = 6\n")
    assert "samplers[1].buffer_size" in found and "which the buffer has already" in found


def sampler(store: SampleStore, **keys: Any) -> HistorySampler:
    run = Run("ab12" * 8, "test", RunKind.BUILD, "{}", 3, objective_sha256="objective-1", pinned_snapshot=1)
    store.start_run(run)
    settings: Any = SETTINGS.validate_python({"kind": "history", "name": "again"} | keys)
    prior = open_policy("zinc-gru", store)
    parts = RunParts(
        store,
        run.run_id,
        prior=prior,
        prior_name="zinc-gru",
        agent=lambda: prior,
        settled=lambda: 0,
        standardisation="objective-1",
        objective_sha256=Standardisation(),
    )
    made = build_sampler(settings, parts)
    assert isinstance(made, HistorySampler)
    return made


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, Uniform()),
        ({"select": "top_k"}, TopK(100)),
        ({"select": {"kind": "top_k", "k": 7}}, TopK(7)),
        ({"select": "quantile"}, AboveQuantile(0.9)),
        ({"select": {"kind": "quantile", "quantile": 1.0}}, AboveQuantile(1.0)),
        ({"select": {"kind": "recent", "max_iterations": 3, "each_run": True}}, Recent(3, each_run=True)),
        ({"select": "scaffold"}, ByScaffold()),
    ],
)
def test_choices_are_built_with_their_own_key(store: SampleStore, keys: dict[str, Any], expected: object) -> None:
    assert sampler(store, **keys).selection == expected


def test_runs_are_named_by_how_their_ids_start(store: SampleStore) -> None:
    own = "ab12" * 8
    history: Any = sampler(store, runs=["ab1"]).history
    assert history.runs == (own,)
    history = sampler(store, runs="all", where="reward > 0.5").history
    assert (history.runs, history.where, history.foreign_snapshot) == (None, "reward > 0.5", 1)
    with pytest.raises(UnknownRunError):
        sampler(store, runs=["ffff"])
    with pytest.raises(PredicateError):
        sampler(store, where="reward > (SELECT 1)")


def test_a_campaign_recalls_rows_in_batches(tiny_config: Path, tmp_path: Path) -> None:
    keys = 'select = { kind = "quantile", quantile = 0.5 }\np_batch = 0.25\n'
    tiny_config.write_text(tiny_config.read_text() + HISTORY + keys)
    settings = load_settings(tiny_config)
    results = [run_online(settings.to_json(), str(tmp_path / name), local_builder) for name in ("one", "two")]
    assert results[0]["policy"] == results[1]["policy"]
    one, two = (given(tmp_path / name) for name in ("one", "two"))
    assert_frame_equal(one, two)
    # Four iterations of 16, checkpoints and builds every two: the first have no settled rows.
    assert one.group_by("event", "iteration").len().sort("event", "iteration").rows() == [
        ("sample_batch", 2, 4),
        ("sample_batch", 3, 4),
    ]
    assert (one["of_iteration"] < one["iteration"]).all()
    with SampleStore.open(tmp_path / "one", read_only=True) as store:
        samplers = store.query("SELECT DISTINCT sampler FROM sample_history")["sampler"].to_list()
        assert samplers == ["live"]
        assert store.verify().errors == ()


def given(path: Path) -> pl.DataFrame:
    """The stored rows that were given again, by what is equal in two runs."""
    with SampleStore.open(path, read_only=True) as store:
        return store.query("""SELECT b.event, b.iteration, position, s.iteration AS of_iteration, s.event AS of_event,
                source_row FROM readmitted AS g JOIN builds AS b USING (build_id)
                JOIN builds AS s ON s.build_id = g.source_build_id ORDER BY ALL""")
