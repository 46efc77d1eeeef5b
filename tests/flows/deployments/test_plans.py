"""What is registered of a campaign, as data: names, forms, schedules, limits, and prefect.yaml."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.deployments import FLOWS, HEARTBEAT_SECONDS, Nights, planned, silence_seconds, silent_runs, slug
from molbuffer.flows.deployments.deploy import made_deployment
from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def plans_of(settings: Settings, **more: Any) -> dict[str, Any]:
    return {each.flow: each for each in planned(Nights(settings, "/srv/lab", "night", **more))}


def test_every_flow_of_a_campaign_is_named_by_its_module_and_found_there(tiny_settings: Settings) -> None:
    plans = plans_of(tiny_settings)
    assert tuple(plans) == FLOWS
    for flow, plan in plans.items():
        module, _, name = plan.entrypoint.rpartition(".")
        assert getattr(importlib.import_module(module), name).name == flow


def test_a_campaign_that_never_draws_has_no_builds_and_no_online_training(tiny_settings: Settings) -> None:
    data = json.loads(tiny_settings.to_json())
    data["campaign"]["offline"] = True
    plans = plans_of(Settings.from_json(json.dumps(data)))
    assert set(FLOWS) - set(plans) == {"build", "train"}


def test_the_values_of_every_form_pass_its_schema_and_no_folder_is_pinned(tiny_settings: Settings) -> None:
    for plan in plans_of(tiny_settings).values():
        made = made_deployment(plan)
        schema = made._parameter_openapi_schema.model_dump()
        Draft202012Validator(schema).validate(json.loads(json.dumps(made.parameters)))
        assert (made._path, made.storage) == (None, None)
        # Any number of scorers share the work of one store.
        assert made.concurrency_limit == (None if plan.flow == "score-pending" else 1)
        assert made.job_variables == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}}


def test_every_field_of_a_form_has_a_title_and_what_needs_choosing_has_choices(tiny_settings: Settings) -> None:
    for plan in plans_of(tiny_settings).values():
        for model in made_deployment(plan)._parameter_openapi_schema.definitions.values():
            fields = model["properties"]
            assert all(field["title"][0].isupper() and "_" not in field["title"] for field in fields.values()), model
    for flow, model in (("build", "BuildParameters"), ("train-offline", "OfflineParameters")):
        fields = made_deployment(plans_of(tiny_settings)[flow])._parameter_openapi_schema.definitions[model][
            "properties"
        ]
        assert [name for name, field in sorted(fields.items(), key=lambda each: each[1]["position"])][-1] == "settings"
    fields = made_deployment(plans_of(tiny_settings)["build"])._parameter_openapi_schema.definitions["BuildParameters"]
    assert "cuda" in fields["properties"]["device"]["enum"]


def test_the_settings_go_along_as_they_were_checked(tiny_settings: Settings) -> None:
    sent = plans_of(tiny_settings)["build"].parameters["settings"]
    assert Settings.from_json(json.dumps(sent)) == tiny_settings


def test_schedules_are_of_the_flows_that_they_name(tiny_settings: Settings) -> None:
    plans = plans_of(tiny_settings, crons={"build": "0 2 * * *"}, timezone="Europe/Berlin")
    assert {flow: plan.cron for flow, plan in plans.items() if plan.cron} == {
        "build": "0 2 * * *",
        "close-dead-runs": "17 * * * *",
    }
    with pytest.raises(UsageError, match=r"--cron trian=\.\.\.: no flow; did you mean `train`\? Expected one of build"):
        plans_of(tiny_settings, crons={"trian": "0 2 * * *"})
    with pytest.raises(UsageError, match=r"--cron nope=\.\.\.: no flow\. Expected one of build"):
        plans_of(tiny_settings, crons={"nope": "0 2 * * *"})


def test_a_run_is_silent_after_more_than_three_of_the_heartbeats_that_it_is_started_with(
    tiny_settings: Settings,
) -> None:
    plan = plans_of(tiny_settings, heartbeat=60)["build"]
    automation = silent_runs(60)
    assert automation.trigger.within.total_seconds() == silence_seconds(60) > 3 * 60
    assert plan.job_variables["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "60"
    # Runs of another heartbeat have another automation.
    (tag,) = set(automation.trigger.match_related.root.values()) - {"tag"}
    assert tag.removeprefix("prefect.tag.") in plan.tags
    assert tag.removeprefix("prefect.tag.") not in plans_of(tiny_settings)["build"].tags


def test_a_crash_of_the_flow_that_closes_runs_does_not_start_it_again(tiny_settings: Settings) -> None:
    plans = plans_of(tiny_settings)
    assert "molbuffer-of-night" in plans["build"].tags
    assert "molbuffer-of-night" not in plans["close-dead-runs"].tags


def test_an_asynchronous_campaign_has_a_deployment_of_actors_that_may_be_many(tiny_settings: Settings) -> None:
    data = json.loads(tiny_settings.to_json())
    data["training"]["mode"] = "async"
    plans = plans_of(Settings.from_json(json.dumps(data)))
    assert tuple(plans) == (*FLOWS, "act")
    act, made = plans["act"], made_deployment(plans["act"])
    assert act.parameters == {"store": "/srv/lab", "campaign": "tiny"}
    Draft202012Validator(made._parameter_openapi_schema.model_dump()).validate(made.parameters)
    assert "concurrency_limit" not in act.as_yaml() and made.concurrency_limit is None
    assert plans["train"].as_yaml()["concurrency_limit"]["limit"] == 1
    module, _, name = act.entrypoint.rpartition(".")
    assert getattr(importlib.import_module(module), name).name == "act"


@pytest.mark.parametrize(
    ("text", "expected"), [("Lead 7/β", "Lead-7-β"), ("a.b-c_d", "a.b-c_d"), ("//", "campaign"), ("<x>&%", "x")]
)
def test_names_have_no_letters_that_prefect_refuses(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_prefect_yaml_is_what_deploy_writes_of_the_demonstration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "flows" / "tools" / "demo.toml", tmp_path)
    given = ["--store-there", "{{ $MOLBUFFER_STORE }}", "--name", "demo"]
    crons = ["--cron", "0 2 * * *", "--cron", "maintain=0 5 * * *"]
    result = CliRunner().invoke(
        app, ["deploy", "demo.toml", "--store", "lab", *given, *crons, "--yaml", "prefect.yaml"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    written = (tmp_path / "prefect.yaml").read_text().replace(str(tmp_path), ".")
    assert (ROOT / "prefect.yaml").read_text() == written, "write it anew: docs/how-to/nights.md has the command"
    listed = yaml.safe_load(written)
    assert (listed["pull"], len(listed["deployments"])) == ([], len(FLOWS))


def test_forms_refuse_misspelt_keys() -> None:
    from molbuffer.flows.deployments import parameters

    models = [each for each in vars(parameters).values() if isinstance(each, type) and issubclass(each, BaseModel)]
    for model in models:
        if model is not BaseModel:
            with pytest.raises(ValueError, match="Extra inputs are not permitted"):
                model.model_validate({"stroe": "lab"})
