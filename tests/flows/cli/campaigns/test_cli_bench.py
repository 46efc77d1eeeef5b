"""``molbuffer bench``, ``objectives`` and ``score --objective``, and configurations that come with the package."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import ConfigurationError, configuration_file, load_settings, preset_names

Command = Callable[..., Any]
VALUES = Path(__file__).parents[3] / "data" / "pmo-values.csv"


def test_objectives_are_listed_for_people_and_programs(molbuffer: Command) -> None:
    listed = json.loads(molbuffer("objectives", "--json").stdout)
    assert len(listed) == 20
    assert all(each["name"].startswith("pmo:") and each["about"] for each in listed)
    assert "pmo:zaleplon_mpo" in molbuffer("objectives").stdout


def test_a_file_is_scored_by_a_named_objective_as_it_is_written(molbuffer: Command, tmp_path: Path) -> None:
    rows = list(csv.DictReader(VALUES.read_text().splitlines()[1:]))
    file = tmp_path / "some.smi"
    file.write_text("".join(f"{row['smiles']}\n" for row in rows) + "nonsense\n")
    result = molbuffer("score", file, "--objective", "pmo:zaleplon_mpo", "--out", tmp_path / "scores.csv")
    assert result.returncode == 0
    scored = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert [each["molecule"] for each in scored] == [*(row["smiles"] for row in rows), ""]
    found = [float(each["reward"]) for each in scored[:-1]]
    assert found == pytest.approx([float(row["zaleplon_mpo"]) for row in rows], abs=1e-12)
    assert scored[-1]["rejected_by"] == "validity"


def test_score_needs_one_thing_to_score_by(refused: Callable[..., BaseException], tmp_path: Path) -> None:
    file = tmp_path / "some.smi"
    file.write_text("CCO\n")
    assert "--objective" in str(refused("score", file))
    assert "--objective" in str(refused("score", file, "--objective", "pmo:qed", "--config", "sample_efficient"))
    assert "did you mean 'pmo:qed'" in str(refused("score", file, "--objective", "pmo:qde"))


def test_the_table_of_no_runs_says_so(molbuffer: Command, tmp_path: Path) -> None:
    assert molbuffer("bench", "pmo", "--table", "--out", tmp_path).stdout == "no runs yet\n"
    assert json.loads(molbuffer("bench", "pmo", "--table", "--json", "--out", tmp_path).stdout) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "qed,median3"], "median3"),
        (["--seeds", "0,x"], "numbers"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(
    refused: Callable[..., BaseException], tmp_path: Path, options: list[str], message: str
) -> None:
    error = refused("bench", "pmo", "--out", tmp_path / "out", *options)
    assert isinstance(error, UsageError)
    assert message in str(error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_found_by_its_name_and_is_right(name: str, molbuffer: Command) -> None:
    printed = molbuffer("config", "example", "--preset", name).stdout
    assert printed.strip() == configuration_file(Path(name)).read_text().strip()
    assert molbuffer("config", "check", name).stdout.endswith("no problems\n")


def test_a_file_with_the_name_of_a_preset_comes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert configuration_file(Path("sample_efficient")).is_file()
    Path("sample_efficient").write_text("")
    assert configuration_file(Path("sample_efficient")) == Path("sample_efficient")


def test_a_preset_that_there_is_not_is_refused(refused: Callable[..., BaseException]) -> None:
    assert "sample_efficient" in str(refused("config", "example", "--preset", "fast"))


NAMED = "[objective]\nnamed = {name!r}\n{more}\n[[samplers]]\nkind = 'model'\nname = 'live'\np_batch = 1.0\n{stages}"


def settings_of(tmp_path: Path, name: str = "pmo:median1", more: str = "", stages: str = "") -> Any:
    file = tmp_path / "named.toml"
    file.write_text(NAMED.format(name=name, more=more, stages=stages))
    return load_settings(file)


def test_a_named_objective_stands_for_its_components(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert [each.build().name for each in settings.objective.components] == ["pmo:median1"]
    assert type(settings).from_json(settings.to_json()) == settings


def test_stages_may_name_objectives_of_their_own(tmp_path: Path) -> None:
    stages = "[[stages]]\niterations = 2\nobjective = { named = 'pmo:qed' }\n[[stages]]\n"
    stages += "objective = { components = [{ kind = 'qed' }] }"
    settings = settings_of(tmp_path, stages=stages)
    names = [settings.of_stage(i).objective.components[0].build().name for i in (0, 1)]
    assert names == ["pmo:qed", "qed"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "pmo:medain1"}, "did you mean 'pmo:median1'"),
        ({"more": "components = [{ kind = 'qed' }]"}, "exclude each other"),
    ],
)
def test_a_wrong_name_and_two_objectives_are_refused_at_their_line(
    tmp_path: Path, given: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        settings_of(tmp_path, **given)
    assert [(each.line, each.key) for each in raised.value.problems] == [(2, "objective.named")]
