"""What may change in the configuration of a run that is gone on with."""

import json
from pathlib import Path

import pytest

from molbuffer.flows.settings.overrides import Override
from molbuffer.flows.settings.resuming import MAY_CHANGE, changes
from molbuffer.flows.settings.settings import load_settings, settings_schema

TEXT = """
[policy]
[[objective.components]]
kind = "qed"
[[samplers]]
kind = "model"
name = "live"
buffer_size = 10
p_batch = 0.5
"""


def changed(folder: Path, *options: str, more: str = "") -> list[str]:
    (folder / "before.toml").write_text(TEXT)
    (folder / "after.toml").write_text(TEXT + more)
    before = load_settings(folder / "before.toml")
    after = load_settings(folder / "after.toml", [Override.parse(option) for option in options])
    return [("may: " if change.allowed else "") + str(change) for change in changes(before.to_json(), after)]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("campaign.iterations=200", "may: campaign.iterations: the run has 100, now it is 200"),
        ("samplers[0].buffer_size=20", "may: samplers[0].buffer_size: the run has 10, now it is 20"),
        ("training.checkpoint_every=5", "may: training.checkpoint_every: the run has 10, now it is 5"),
        ("offline.evaluation.draws=9", "may: offline.evaluation.draws: the run has 0, now it is 9"),
        ("logging.mlflow=sqlite:///a.db", 'may: logging.mlflow: the run has none, now it is "sqlite:///a.db"'),
        ("policy.folder=elsewhere", 'may: policy.folder: the run has "'),
        ("campaign.batch_size=32", "campaign.batch_size: the run has 64, now it is 32"),
        ("samplers[0].p_batch=0.25", "samplers[0].p_batch: the run has 0.5, now it is 0.25"),
        ("samplers[0].name=other", 'samplers[0].name: the run has "live", now it is "other"'),
        ("objective.components[0].weight=2.0", "objective.components[0].weight: the run has 1.0, now it is 2.0"),
        ("training.sigma=256", "training.sigma: the run has none, now it is 256"),
        ("policy.agent=zinc-vae", 'policy.agent: the run has none, now it is "zinc-vae"'),
    ],
)
def test_a_change_is_named_with_both_values(tmp_path: Path, option: str, expected: str) -> None:
    [change] = changed(tmp_path, option)
    assert change.replace("256.0", "256").startswith(expected)


def test_tables_that_come_or_are_of_another_kind_are_changes_too(tmp_path: Path) -> None:
    more = '[[samplers]]\nkind = "model"\nname = "more"\np_batch = 0.1\n'
    assert changed(tmp_path, more=more) == ["samplers: the run has 1 items, now it is 2 items"]
    assert changed(tmp_path) == []


def test_a_key_that_is_newer_than_the_run_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TEXT)
    settings = load_settings(tmp_path / "c.toml")
    older = json.loads(settings.to_json())
    del older["campaign"]["keep_policies"], older["policy"]["agent"]
    assert changes(json.dumps(older), settings) == []


def test_every_key_that_may_change_is_one_of_the_configuration() -> None:
    schema = settings_schema()

    def keys(node: object) -> set[str]:
        if isinstance(node, dict):
            own = set(node.get("properties", {}))
            return own.union(*map(keys, node.values())) if node else own
        return set().union(*map(keys, node)) if isinstance(node, list) else set()

    assert {key.removesuffix(".*").rpartition(".")[2] for key in MAY_CHANGE} <= keys(schema)
