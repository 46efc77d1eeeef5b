"""``molbuffer config``: the example is right in every line, and what is wrong is said to people and to programs."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.cli.config import example_text
from molbuffer.flows.settings.draws import SizeKeys
from molbuffer.flows.settings.problems import ConfigurationError, resolve
from molbuffer.flows.settings.settings import Settings, load_settings, settings_schema
from molbuffer.flows.settings.toml_lines import KeyPath
from molbuffer.flows.settings.training import SELECTION_KEYS

ALTERNATIVES = (
    *("top_k = 100", "alpha = 0.7", "max_iterations = 10", "quantile = 0.9"),
    *("learnt_prior", "vectors = ", "best = ", "stored_latents", "learnt_latents", "replay_ratio_clip"),
)
"""Keys of the example that exclude others: of selections of stored rows, of where latents come from, of what learns."""


TRANSFORMS = ("identity", "sigmoid", "reversesigmoid", "doublesigmoid", "linear", "step", "gaussian")


def with_alternatives() -> str:
    """The example with every commented-out table and key put in."""
    return re.sub(r"^#(?=[\[a-z])", "", example_text(), flags=re.MULTILINE)


@pytest.fixture
def beside_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the example's alternatives refer to."""
    (tmp_path / "docking.py").write_text("def score(smiles):\n    return len(smiles)\n")
    (tmp_path / "actives.smi").write_text("CCO\n")
    (tmp_path / "latents.npy").write_bytes(b"")
    (tmp_path / "pairs.csv").write_text("source,target\nCCO,CCN\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_example_passes_its_own_check(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(CliRunner().invoke(app, ["config", "example"]).stdout)
    result = CliRunner().invoke(app, ["config", "check", str(file)])
    assert (result.exit_code, result.stdout) == (0, f"{file}: no problems\n")


def test_the_alternatives_of_the_example_are_right_too(beside_the_example: Path) -> None:
    file = beside_the_example / "campaign.toml"
    file.write_text(with_alternatives())
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file)
    assert [problem.key for problem in raised.value.problems] == [
        "buffer.top_k",
        "buffer.alpha",
        "buffer.max_iterations",
        "samplers[1].learnt_prior",
        "samplers[1].replay_ratio_clip",
        "samplers[2].vectors",
        "samplers[2].best",
        "samplers[2].learnt_latents",
        "samplers[5].quantile",
        "samplers[5].max_iterations",
    ]
    lines = with_alternatives().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(ALTERNATIVES)))
    settings = load_settings(file)
    assert settings.offline.where == "reward > 0.5"
    assert len(settings.objective.components) == 7


def test_the_example_has_every_kind_and_every_key_of_every_table() -> None:
    schema, text = settings_schema(), with_alternatives()
    seen = keys_by_table(
        tomllib.loads("".join(line for line in text.splitlines(keepends=True) if "epochs" not in line))
    )
    absent = set()
    for title, table in schema["$defs"].items():
        if title.removesuffix("Settings").lower() in TRANSFORMS:
            line = next(
                line for line in text.splitlines() if line.startswith(f"#   {table['properties']['kind']['const']} ")
            )
            absent |= {(title, key) for key in table["properties"] if key != "kind" and key not in line.split("#")[1]}
        else:
            # A sampler inside another has the keys of a sampler of the campaign, less its name and sizes.
            shown = seen.get(title.replace("Draws", "SamplerSettings"), ())
            absent |= {(title, key) for key in table["properties"] if key not in shown}
    # Said once for all tables of a sort, instead of in each.
    once = {"name", "weight", "transform", "label", *SELECTION_KEYS.values(), *SizeKeys.model_fields}
    assert {(title, key) for title, key in absent if key not in once} == set()


def keys_by_table(data: Any, path: KeyPath = (), whole: Any = None) -> dict[str, set[str]]:
    """The keys that a configuration sets in each table of the schema, by the table's title."""
    whole = data if whole is None else whole
    found: dict[str, set[str]] = {}
    if isinstance(data, dict):
        found[str(resolve(settings_schema(), path, whole).get("title"))] = set(data)
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        for title, keys in keys_by_table(value, (*path, key), whole).items():
            found.setdefault(title, set()).update(keys)
    return found


def test_a_key_that_the_example_sets_has_the_default_or_says_what_it_is_for(beside_the_example: Path) -> None:
    """The example's values of training, buffer and offline are those that a file without these tables has."""
    data = tomllib.loads(example_text())
    file = beside_the_example / "campaign.toml"
    file.write_text(example_text())
    bare = Settings.model_validate({"objective": data["objective"], "samplers": data["samplers"]})
    shown, default = load_settings(file), bare.model_dump()
    for section in ("policy", "standardisation", "buffer", "training", "offline"):
        differing = {k: v for k, v in shown.model_dump()[section].items() if v != default[section][k]}
        assert differing in ({}, {"epochs": 1}), section


def test_check_reports_every_problem_on_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text('[campaign]\nseed = "x"\nnam = "y"\n')
    result = CliRunner().invoke(app, ["config", "check", str(file)])
    assert result.exit_code == 1
    assert result.stdout == ""
    first, *problems = result.stderr.splitlines()
    assert first == f"error: {file}: 4 problems"
    places = ["key `objective`", "key `samplers`", "line 2, key `campaign.seed`", "line 3, key `campaign.nam`"]
    assert [problem.strip().partition(": ")[0] for problem in problems] == places
    assert 'got "x"' in problems[2]
    assert "`name`" in problems[3] and "name, seed, iterations, batch_size, offline" in problems[3]


def test_check_has_json_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text("[campaign]\nseed = -1\n[[objective.components]]\nkind = 'qed'\n[[samplers]]\nkind = 'model'\n")
    result = CliRunner().invoke(app, ["config", "check", str(file), "--json"])
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert not answer["ok"]
    first = answer["problems"][0]
    assert (first["line"], first["key"]) == (2, "campaign.seed")
    assert "got -1" in first["message"] and ">= 0" in first["message"]
    file.write_text(example_text())
    answer = json.loads(CliRunner().invoke(app, ["config", "check", str(file), "--json"]).stdout)
    assert answer == {"ok": True, "problems": [], "sha256": load_settings(file).sha256}


def test_the_schema_is_json_and_lists_the_kinds() -> None:
    schema = json.loads(CliRunner().invoke(app, ["config", "schema"]).stdout)
    assert set(schema["properties"]) == set(Settings.model_fields)
    kinds = schema["properties"]["samplers"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {
        *("contrastive", "dataset", "graph_ga", "history", "latent", "model", "mutation", "pair_dataset", "prior")
    }
    assert schema["required"] == ["objective"]
