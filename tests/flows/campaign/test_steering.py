"""Runs as people steer them: a finished run is extended, and another one starts from the policy of the first."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from molbuffer.flows.settings.overrides import Override
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks import local_builder
from molbuffer.flows.train import train
from molbuffer.flows.work import run_offline, run_online
from molbuffer.samplers import last_policy
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.policy import load_policy, open_policy, policy_files
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import RunConflictError
from molbuffer.training.errors import AgentMismatchError
from molbuffer.training.fit.learner import Learner, LearnerSettings
from molbuffer.training.losses import LOSSES

ROWS = """
    SELECT iteration, event, sampler, row, smiles, raw, kept, rejected_by, reward, policy_sha256
    FROM sample_history WHERE starts_with(run_id, '{run}') ORDER BY iteration, event, sampler, row, raw
"""
Command = Callable[..., Any]


def settings_of(template: Path, *options: str) -> Settings:
    return load_settings(template, [Override.parse(option) for option in options])


@pytest.fixture(scope="module")
def runs(
    prefect_server: None, tiny_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A store with a run in one go, and one that was finished after half of it and then extended by the flow; with its
    first result.
    """
    store = tmp_path_factory.mktemp("runs") / "store"
    whole = run_online(settings_of(tiny_template).to_json(), str(store), local_builder)
    half = run_online(settings_of(tiny_template, "campaign.iterations=2").to_json(), str(store), local_builder)
    extended = train(settings_of(tiny_template).to_json(), str(store), run_id=half["run_id"])
    return store, whole, half, extended


@pytest.fixture
def copied(runs: tuple[Path, Any, Any, Any], tmp_path: Path) -> Path:
    return shutil.copytree(runs[0], tmp_path / "store")


def test_an_extended_run_is_the_same_as_one_in_one_go(runs: tuple[Path, Any, Any, Any]) -> None:
    folder, whole, half, extended = runs
    assert (half["iterations"], extended["iterations"], extended["run_id"]) == (2, 4, half["run_id"])
    assert half["policy"] != extended["policy"] == whole["policy"]
    with SampleStore.open(folder, read_only=True) as store:
        one, two = (store.query(ROWS.format(run=result["run_id"])) for result in (whole, extended))
        assert len(one) > 0
        assert_frame_equal(one, two)
        events = store.query(f"SELECT status FROM run_events WHERE run_id = '{half['run_id']}' ORDER BY created")
        assert events["status"].to_list() == ["started", "finished", "reconfigured", "resumed", "finished"]
        assert json.loads(store.run(half["run_id"]).config)["campaign"]["iterations"] == 4
        before = store.query(f"SELECT config FROM runs WHERE run_id = '{half['run_id']}'")["config"][0]
        assert json.loads(before)["campaign"]["iterations"] == 2


@pytest.mark.usefixtures("prefect_server")
def test_what_may_not_change_is_refused_by_the_flow_too(
    copied: Path, runs: tuple[Path, Any, Any, Any], tiny_template: Path, small_prior: Path
) -> None:
    run_id = runs[1]["run_id"]
    before = json.loads(settings_of(tiny_template).to_json())
    before["policy"]["prior"] = load_policy(small_prior).sha256
    other = settings_of(tiny_template, "campaign.batch_size=32", "campaign.iterations=8").to_json()
    with pytest.raises(
        RunConflictError, match=r"campaign.batch_size: the run has 16, now it is 32\n.*agent = "
    ) as said:
        train(other, str(copied), run_id=run_id)
    assert "campaign.iterations: the run" not in str(said.value)
    with SampleStore.open(copied, read_only=True) as store:
        assert json.loads(store.run(run_id).config) == before


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("run", ("--set", "training.sigma=1"), ("training.sigma: the run has none, now it is 1.0", "May change")),
        ("run", ("--iterations", "3"), ("done 4 iterations", "cannot go on to 3")),
        ("build", (), ("of the kind train", "build")),
        ("offline", (), ("of the kind train", "offline")),
    ],
)
def test_a_run_that_cannot_go_on_so_is_refused_before_a_server_is_started(
    runs: tuple[Path, Any, Any, Any],
    tiny_template: Path,
    refused: Callable[..., BaseException],
    command: str,
    options: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    error = refused(command, tiny_template, "--store", runs[0], "--resume", runs[1]["run_id"][:8], *options)
    assert isinstance(error, RunConflictError)
    assert all(text.lower() in str(error).lower() for text in expected), error


def test_a_run_starts_from_the_policy_of_another(
    copied: Path, runs: tuple[Path, Any, Any, Any], tiny_template: Path
) -> None:
    _, whole, half, _ = runs
    warm = settings_of(tiny_template, f"policy.agent=run:{whole['run_id'][:8]}", "campaign.iterations=1")
    result = run_online(warm.to_json(), str(copied), local_builder)
    with SampleStore.open(copied, read_only=True) as store:
        assert last_policy(store, whole["run_id"]) == whole["policy"]
        # Whoever asks for the policy of the extended run gets that of its end, though another run made it first.
        assert last_policy(store, half["run_id"]) == whole["policy"]
        assert json.loads(store.run(result["run_id"]).config)["policy"]["agent"] == whole["policy"]
        drew = store.query(f"SELECT DISTINCT policy_sha256 FROM builds WHERE run_id = '{result['run_id']}'")
        assert drew["policy_sha256"].to_list() == [whole["policy"]]
        parents = store.query(f"SELECT parent_sha256 FROM policies WHERE sha256 = '{result['policy']}'")
        assert parents["parent_sha256"].to_list() == [whole["policy"]]
    # The first run goes on, and the second one with what it began with.
    longer = settings_of(tiny_template, "campaign.iterations=5").to_json()
    run_online(longer, str(copied), local_builder, run_id=whole["run_id"])
    keep = ("campaign.keep_checkpoints=1", "campaign.keep_policies=1", "campaign.iterations=2")
    again = settings_of(tiny_template, f"policy.agent=run:{whole['run_id'][:8]}", *keep)
    run_online(again.to_json(), str(copied), local_builder, run_id=result["run_id"])
    # What it no longer keeps went while it ran.
    assert len(list((copied / "checkpoints" / result["run_id"]).iterdir())) == 1
    with SampleStore.open(copied, read_only=True) as store:
        assert last_policy(store, whole["run_id"]) != whole["policy"]
        assert json.loads(store.run(result["run_id"]).config)["policy"]["agent"] == whole["policy"]


def test_an_offline_training_starts_from_it_as_well_and_needs_no_sampler(
    copied: Path, runs: tuple[Path, Any, Any, Any], tiny_template: Path, molbuffer: Command
) -> None:
    options = ("--set", f"policy.agent=run:{runs[1]['run_id']}", "--set", "offline.steps=1")
    off = ("--set", "samplers[0].buffer_size=0", "--set", "samplers[live].p_batch=0.0")
    done = molbuffer("offline", tiny_template, "--store", copied, *options, *off, "--prefect", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    said = done.stderr.splitlines()
    assert said[0].startswith(f"run {result['run_id']}; ")
    assert said[-1].startswith(f"run {result['run_id']} is finished; --resume {result['run_id'][:8]} --iterations N")
    with SampleStore.open(copied, read_only=True) as store:
        parents = store.query(f"SELECT parent_sha256 FROM policies WHERE sha256 = '{result['policy']}'")
    assert parents["parent_sha256"].to_list() == [runs[1]["policy"]]
    # An offline training is extended like any other.
    longer = ("--iterations", "2", "--resume", result["run_id"])
    done = molbuffer("offline", tiny_template, "--store", copied, *options, *off, *longer, "--json")
    assert (done.returncode, json.loads(done.stdout)["iterations"]) == (0, 2)
    whole = run_offline(
        settings_of(tiny_template, f"policy.agent=run:{runs[1]['run_id']}", "offline.steps=2").to_json(), str(copied)
    )
    assert whole["policy"] == json.loads(done.stdout)["policy"]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A policy of another vocabulary."""
    vocabulary = Vocabulary((*RESERVED, "C", "N"))
    model = GRULanguageModel(GRUArchitecture(5, embedding_size=4, hidden_size=8, layers=1, max_length=8))
    (tmp_path / "stranger").mkdir()
    for name, content in policy_files(model, vocabulary).items():
        (tmp_path / "stranger" / name).write_bytes(content)
    return tmp_path / "stranger"


def test_policies_that_do_not_go_together_or_are_nowhere_are_refused_before_a_server_is_started(
    runs: tuple[Path, Any, Any, Any],
    tiny_template: Path,
    small_prior: Path,
    stranger: Path,
    refused: Callable[..., BaseException],
) -> None:
    store = runs[0]
    for command in (("run", tiny_template), ("config", "check", tiny_template)):
        for name, expected in (
            (str(stranger), f"another vocabulary than the prior {small_prior}"),
            ("run:fff", "'fff' must start the id of exactly one run"),
            ("ffffff", "'ffffff'"),
        ):
            error = refused(*command, "--store", store, "--set", f"policy.agent={name}")
            assert isinstance(error, ConfigurationError)
            assert error.problems[0].key == "policy.agent"
            assert expected in str(error)
    history = 'samplers=[{ kind = "history", name = "again", runs = ["own", "fff"], p_batch = 0.5 }]'
    error = refused("config", "check", tiny_template, "--store", store, "--set", history, "--set", "buffer.runs=all")
    assert isinstance(error, ConfigurationError)
    assert [problem.key for problem in error.problems] == ["samplers[0].runs[1]"]
    nowhere = refused("run", tiny_template, "--store", stranger.parent / "lab", "--set", "policy.prior=abcdef")
    assert "there is no store yet at" in str(nowhere)
    assert not (stranger.parent / "lab").exists()


def test_the_learner_refuses_them_as_well(runs: tuple[Path, Any, Any, Any], stranger: Path, copied: Path) -> None:
    with SampleStore.open(copied) as store:
        prior, agent, other = (open_policy(name, store) for name in ("zinc-gru", str(stranger), "zinc-vae"))
    with pytest.raises(AgentMismatchError, match=r"another vocabulary .*\(5 and 64 tokens"):
        Learner(prior, LOSSES["reinvent"], LearnerSettings(), agent)
    with pytest.raises(AgentMismatchError):
        Learner(prior, LOSSES["reinvent"], LearnerSettings(), other)
