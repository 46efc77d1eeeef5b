"""The table [runner]: what cannot work is refused with advice, and what has no effect is told."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.deployments.parameters import BuildParameters
from molbuffer.flows.settings import Settings, changes
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import load_settings, warnings_of

CAMPAIGN = """
[objective]
[[objective.components]]
kind = "qed"

[[samplers]]
kind = "model"
name = "agent"
buffer_size = 100
"""


def written(folder: Path, runner: str, rest: str = CAMPAIGN) -> Path:
    path = folder / "campaign.toml"
    path.write_text(f"[runner]\n{runner}\n{rest}")
    return path


def problem(folder: Path, runner: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(written(folder, runner))
    (found,) = caught.value.problems
    return str(found)


def test_by_default_a_run_makes_its_parts_itself(tmp_path: Path) -> None:
    runner = load_settings(written(tmp_path, "")).runner
    assert (runner.kind, runner.workers, runner.shares) == ("threads", 1, False)


@pytest.mark.parametrize(
    ("runner", "expected"),
    [
        ('address = "tcp://host:8786"', 'the runner threads has no address; take kind = "dask" or "ray"'),
        ('kind = "processes"\naddress = "tcp://host:8786"', "the runner processes has no address"),
        ('kind = "dask"\naddress = "host"', 'got "host", expected one of dask, as "tcp://HOST:8786"'),
        ('kind = "ray"\naddress = "tcp://host:8786"', 'expected one of ray, as "ray://HOST:10001"'),
        ("workers = 0", "key `runner.workers`"),
        ('kind = "process"', "processes"),
    ],
)
def test_what_cannot_work_is_refused(
    tmp_path: Path, runner: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert expected in problem(tmp_path, runner)


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_cluster_without_its_extra_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert f"not installed (prefect_{kind}, " in (told := problem(tmp_path, f'kind = "{kind}"'))
    assert told.endswith(f'pip install "molbuffer[{kind}]"')


def test_a_function_that_workers_cannot_import_is_refused(tmp_path: Path) -> None:
    component = '[objective]\ncomponents = [{kind = "python", function = "__main__:score"}]\n'
    rest = component + CAMPAIGN.partition('kind = "qed"')[2]
    with pytest.raises(ConfigurationError, match="__main__"):
        load_settings(written(tmp_path, 'kind = "processes"\nworkers = 2', rest))


@pytest.mark.parametrize(
    ("runner", "rest", "expected"),
    [
        ("workers = 4", CAMPAIGN, "a build has 1 chunk of up to 2048 rows, fewer than the 4 workers"),
        ("workers = 4", f"{CAMPAIGN}\n[buffer]\nchunk_rows = 25", None),
        ("workers = 4", f"{CAMPAIGN}\n[campaign]\nmax_oracle_calls = 10", "with campaign.max_oracle_calls, and no"),
        ("workers = 4", f'{CAMPAIGN}unique = "run"', 'made one after another with unique = "run"'),
        ("workers = 1", CAMPAIGN, None),
    ],
)
def test_workers_without_work_are_told(tmp_path: Path, runner: str, rest: str, expected: str | None) -> None:
    found = [text for text in warnings_of(load_settings(written(tmp_path, runner, rest))) if "workers" in text]
    assert found == [] if expected is None else expected in found[0]


def test_a_run_may_go_on_with_other_workers_and_not_with_other_chunks(tmp_path: Path) -> None:
    before = load_settings(written(tmp_path, "")).to_json()
    other = load_settings(written(tmp_path, 'kind = "processes"\nworkers = 3'))
    more = load_settings(written(tmp_path, "workers = 3"))
    assert [(change.key, change.allowed) for change in changes(before, other)] == [("runner", True)]
    assert [(change.key, change.allowed) for change in changes(before, more)] == [("runner.workers", True)]
    chunks = load_settings(written(tmp_path, "", f"{CAMPAIGN}\n[buffer]\nchunk_rows = 10"))
    assert [change.allowed for change in changes(before, chunks)] == [False]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, ("dask", 4, "tcp://host:8786")),
        ({"workers": 9}, ("dask", 9, "tcp://host:8786")),
        ({"runner": "processes"}, ("processes", 4, None)),
        ({"runner": "ray", "address": "ray://other:10001"}, ("ray", 4, "ray://other:10001")),
    ],
)
def test_the_form_of_a_deployment_says_who_works(
    tmp_path: Path, form: dict[str, Any], expected: tuple[str, int, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    path = written(tmp_path, 'kind = "dask"\nworkers = 4\naddress = "tcp://host:8786"')
    given = BuildParameters(settings=json.loads(load_settings(path).to_json()), store="lab", **form)
    runner = Settings.from_json(json.dumps(given.run_settings)).runner
    assert (runner.kind, runner.workers, runner.address) == expected
