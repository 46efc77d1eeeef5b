"""``molbuffer config``: the example is right in every line, and what is wrong is said to people and to programs."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.cli.configurations.config import example_text
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.samplers import SamplerSettings
from molbuffer.flows.settings.settings import Settings, load_settings, settings_schema
from molbuffer.kinds import Family, OneOf
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.tables import SAMPLERS
from molbuffer.scoring import CHOICES, COMPONENTS, FILTERS, TRANSFORMS
from molbuffer.storage import SELECTIONS
from molbuffer.training import LOSSES

ALTERNATIVES = (
    "learnt_prior",
    "vectors = ",
    "best = ",
    "stored_latents",
    "learnt_latents",
    "replay_ratio_clip",
    "sigma = 64",
    "named = ",
    "choose = ",
    "center = [",
    "size = [",
    "features = ",
    "bits = ",
    "reference = ",
    "column = 1",
    'mode = "backlog"',
    "address = ",
)
"""Keys of the example that exclude others: of where latents come from, of what learns, of a loss without them, of what
chooses the molecules that are scored, of a box, and of the features of the model that is there."""
TABLES = {"components": COMPONENTS, "filters": FILTERS, "samplers": SAMPLERS}
"""The families whose kinds have a table of their own in the example."""
LISTED = (CHOICES, TRANSFORMS, SELECTIONS, LOSSES)
"""The families whose kinds have a line with their keys."""


ROOT = Path(__file__).parents[4] / "examples"
EXAMPLES = {
    "receptor.pdbqt": ROOT / "docking" / "receptor.pdbqt",
    "ligand.sdf": ROOT / "docking" / "ligand.sdf",
    "activity.onnx": ROOT / "models" / "logp.onnx",
    "my-model": ROOT / "models" / "logp.pt",
}
"""Files that components of the example need, as the examples have them."""

MODEL = """
from molbuffer.samplers.models import LSTMLanguageModel
from molbuffer.samplers.models.lstm import LSTMArchitecture

class MyModel(LSTMLanguageModel):
    kind = "mine"
    Sizes = LSTMArchitecture
"""


def with_alternatives() -> str:
    """The example with every commented-out table and key put in."""
    return re.sub(r"^#(?=[\[a-z])", "", example_text(), flags=re.MULTILINE)


@pytest.fixture
def beside_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the example's alternatives refer to."""
    (tmp_path / "my_models.py").write_text(MODEL)
    (tmp_path / "dock.py").write_text("print('id,affinity')\n")
    (tmp_path / "docking.py").write_text("def score(smiles):\n    return len(smiles)\n")
    (tmp_path / "actives.smi").write_text("CCO\n")
    (tmp_path / "latents.npy").write_bytes(b"")
    (tmp_path / "front.csv").write_text("smiles\nCCO\n")
    for name, there in EXAMPLES.items():
        shutil.copytree(there, tmp_path / name) if there.is_dir() else shutil.copy(there, tmp_path / name)
    (tmp_path / "pairs.csv").write_text("source,target,ID\nCCO,CCN,1\n")
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
        "objective.named",
        "objective.choose",
        "objective.components[13].mode",
        "contrastive.min_improvement",
        "samplers[1].learnt_prior",
        "samplers[2].vectors",
        "offline.sigma",
        "runner.address",
    ]
    lines = with_alternatives().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(ALTERNATIVES))
    file.write_text(text.replace('"activity.onnx"', '"activity.onnx"\nfeatures = "morgan_counts"\nbits = 1024'))
    settings = load_settings(file)
    assert settings.offline.where == "reward > 0.5"
    assert len(settings.objective.components) == 14


def own_kinds(families: Iterable[Family]) -> list[tuple[Family, str]]:
    return [(family, name) for family in families for name, kind in family.kinds.items() if kind.is_own]


@pytest.mark.parametrize(("family", "kind"), own_kinds(TABLES.values()), ids=str)
def test_the_example_has_a_table_of_every_kind_with_all_its_keys(family: Family, kind: str) -> None:
    data = tomllib.loads(with_alternatives())
    place = data["objective"]["components"] if family is COMPONENTS else data[family.name]
    shown = {key for table in place if table["kind"] == kind for key in table}
    # Said once for all kinds of the family, instead of in each.
    once = {"name", "label", *SamplerSettings.model_fields}
    assert OneOf(family).tables[kind].attributes.keys() - once <= shown


@pytest.mark.parametrize(("family", "kind"), own_kinds(LISTED), ids=str)
def test_the_example_has_a_line_of_every_kind_with_all_its_keys(family: Family, kind: str) -> None:
    (line,) = (line for line in example_text().splitlines() if line.startswith(f"#   {kind} "))
    assert all(key in line for key in OneOf(family).tables[kind].attributes)


@pytest.mark.parametrize(("family", "kind"), own_kinds([*TABLES.values(), *LISTED, MODELS]), ids=str)
def test_every_kind_says_what_it_is(family: Family, kind: str) -> None:
    cls = family[kind].architecture if family is MODELS else family[kind]
    assert len(cls.__doc__ or "") > 20


def test_the_example_has_every_key_of_every_other_table() -> None:
    schema, data = settings_schema(), tomllib.loads(with_alternatives())
    for name, of_key in schema["properties"].items():
        table = next((option for option in (of_key, *of_key.get("anyOf", ())) if "$ref" in option), None)
        if table is not None:
            keys = schema["$defs"][table["$ref"].rpartition("/")[2]]["properties"]
            assert keys.keys() == data[name].keys(), name


def test_a_key_that_the_example_sets_has_the_default_or_says_what_it_is_for(beside_the_example: Path) -> None:
    """The example's values of training, buffer and offline are those that a file without these tables has."""
    data = tomllib.loads(example_text())
    file = beside_the_example / "campaign.toml"
    file.write_text(example_text())
    bare = Settings.model_validate({"objective": data["objective"], "samplers": data["samplers"]})
    shown, default = load_settings(file), bare.model_dump()
    for section in ("policy", "standardisation", "buffer", "training", "offline"):
        differing = {k: v for k, v in shown.model_dump()[section].items() if v != default[section][k] and k != "folder"}
        assert differing in ({}, {"sigma": 128.0}), section


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
    assert "`name`" in problems[3] and "name, seed, agents, iterations, batch_size, offline" in problems[3]


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
    assert answer == {"ok": True, "problems": [], "warnings": [], "sha256": load_settings(file).sha256}


def test_the_schema_is_json_and_lists_the_kinds() -> None:
    schema = json.loads(CliRunner().invoke(app, ["config", "schema"]).stdout)
    assert set(schema["properties"]) == set(Settings.model_fields)
    kinds = schema["properties"]["samplers"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {
        *(
            "contrastive",
            "dataset",
            "graph_ga",
            "history",
            "latent",
            "model",
            "mutation",
            "pair_dataset",
            "prior",
            "python",
        )
    }
    assert schema["required"] == ["objective"]


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("zinc-pairs", "zinc-pairs has another vocabulary than the prior zinc-gru"),
        ("zinc-vae", "zinc-vae is a vae and the prior zinc-gru a gru"),
    ],
)
def test_an_agent_that_cannot_be_compared_with_the_prior_is_a_problem_without_a_store(
    tmp_path: Path, agent: str, expected: str
) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(example_text())
    result = CliRunner().invoke(app, ["config", "check", str(file), "--set", f"policy.agent={agent}"])
    assert result.exit_code == 1
    assert "key `policy.agent`: " + expected in result.stderr


def test_a_sampler_of_latents_needs_a_policy_that_has_them(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    pairs = '[samplers.base_sampler]\nkind = "prior"'
    file.write_text(f"""
objective = {{ components = [{{ kind = "qed" }}] }}
[[samplers]]
kind = "latent"
name = "latents"
policy = "prior"
best = 3
p_batch = 0.5
[[samplers]]
kind = "mutation"
name = "mutants"
buffer_size = 8
{pairs}
""")
    result = CliRunner().invoke(app, ["config", "check", str(file)])
    for key in ("samplers[0].policy", "samplers[1].base_sampler.policy"):
        assert f"key `{key}`: zinc-gru is a gru and has no latent vectors" in result.stderr
    result = CliRunner().invoke(app, ["config", "check", str(file), "--set", "policy.prior=zinc-vae"])
    assert result.exit_code == 0, result.stderr


def test_a_class_of_models_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "models_of_check.py").write_text("")
    file = tmp_path / "campaign.toml"
    file.write_text(example_text())
    models = 'policy.models=["models_of_check:Nope"]'
    result = CliRunner().invoke(app, ["config", "check", str(file), "--set", models])
    assert "key `policy.models[0]`: 'models_of_check:Nope'" in result.stderr
