"""What goes to the backlog, and configurations of which nothing would, or in which it has no place."""

import json
from pathlib import Path

import pytest

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.campaign import campaign_run
from molbuffer.flows.campaign.training import assemble_online
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.storage import RunKind, SampleStore

OBJECTIVE = """
[objective]
mode = "backlog"
[[objective.components]]
kind = "qed"
[[objective.components]]
kind = "python"
name = "length"
function = "operator:length_hint"
cost = "high"
in_process = true
transform = { kind = "linear", low = 0, high = 50 }
"""
SAMPLER = '[[samplers]]\nkind = "model"\nname = "agent"\nbuffer_size = 64\np_batch = 0.5\n'


def load(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "campaign.toml").write_text(text)
    return load_settings(tmp_path / "campaign.toml")


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, text)
    (found,) = raised.value.problems
    return str(found)


def test_a_component_follows_the_objective_by_its_cost_or_has_a_mode_of_its_own(tmp_path: Path) -> None:
    settings = load(tmp_path, OBJECTIVE + SAMPLER)
    assert build_objective(settings).backlog == {"length"}
    assert Settings.from_json(settings.to_json()) == settings
    of_qed = OBJECTIVE.replace('mode = "backlog"', "").replace('"qed"', '"qed"\nmode = "backlog"')
    assert build_objective(load(tmp_path, of_qed + SAMPLER)).backlog == {"qed"}
    # A configuration of an earlier release has no mode, and waits for its scores.
    stored = json.loads(settings.to_json())
    del stored["objective"]["mode"]
    stored["buffer"].pop("pending_timeout")
    assert build_objective(Settings.from_json(json.dumps(stored))).backlog == frozenset()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('mode = "backlog"', 'mode = "later"', 'key `objective.mode`: got "later", expected one of'),
        ('cost = "high"', 'cost = "low"', "key `objective.mode`: nothing of the objective goes to the backlog"),
        ("p_batch = 0.5", "p_batch = 1.0", 'key `objective.mode`: the samplers "agent" draw the whole batch live'),
        ("buffer_size = 64\n", "", "key `objective.mode`: no sampler has a buffer_size"),
        ("[objective]\n", "[contrastive]\nmin_improvement = 0.1\n[objective]\n", "key `contrastive.min_improvement`"),
        ("[objective]\n", "[buffer]\npending_timeout = 0.0\n[objective]\n", "key `buffer.pending_timeout`"),
    ],
)
def test_what_has_no_place_is_refused_by_its_key(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert told in problem(tmp_path, (OBJECTIVE + SAMPLER).replace(before, after, 1))


def test_a_training_waits_as_long_as_the_key_says(tmp_path: Path, store: SampleStore, small_prior: Path) -> None:
    text = f'{OBJECTIVE}{SAMPLER}[buffer]\npending_timeout = 7.0\n[policy]\nprior = "{small_prior}"\n'
    with campaign_run(load(tmp_path, text), store, RunKind.TRAIN, "run-1") as campaign:
        in_flight = assemble_online(campaign).loader.in_flight
    assert in_flight is not None
    assert (in_flight.waiting.timeout_seconds, [name for name, _ in in_flight.claimed_as]) == (7.0, ["length"])


def test_a_batch_that_is_all_live_has_a_backlog_if_further_updates_use_it(tmp_path: Path) -> None:
    live = SAMPLER.replace("0.5", "1.0")
    assert load(tmp_path, f"{OBJECTIVE}{live}[training]\nupdates = 2\n")
    assert load(tmp_path, f"{OBJECTIVE}{live}[campaign]\noffline = true\n")
