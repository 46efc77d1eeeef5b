"""The command as a whole: documented, quick to answer, and without tracebacks for what a user can put right."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.samplers.models.gru import GRUArchitecture
from molbuffer.training.pretraining.settings import TRANSFER, PretrainSettings

Command = Callable[..., "subprocess.CompletedProcess[str]"]
BIN = Path(sys.executable).parent / "molbuffer"
HEAVY = ("altair", "torch", "prefect", "rdkit", "polars", "duckdb", "pydantic")


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def test_the_commands_are_those_that_are_documented() -> None:
    assert {" ".join(words) for words in COMMANDS} == {
        "config example", "config check", "config schema", "run", "build", "offline", "pretrain", "demo", "pairs",
        "import-prior", "export-prior",
        "sample", "score", "rescore", "query", "runs", "top", "policies", "checkpoints", "kinds",
        "init", "maintain", "migrate", "recover", "snapshots", "verify", "archive", "merge", "export",
        "bench pmo", "objectives", "poses", "report", "compare", "explore", "log", "ingest", "watch",
        "deploy", "serve", "config from-reinvent", "score-pending", "act",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_explained_with_an_example(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.epilog.startswith("Example: molbuffer " + " ".join(words))
    assert [p.name for p in command.params if not p.help] == []
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Example: molbuffer" in result.stdout


def test_the_defaults_of_pretrain_are_those_of_the_training() -> None:
    parameters = {param.name: param for param in COMMANDS["pretrain",].params}
    usual = PretrainSettings()
    shared = set(parameters) & set(PretrainSettings.__dataclass_fields__)
    assert len(shared) == 8
    for name in shared:
        default, value, transferred = parameters[name].default, getattr(usual, name), getattr(TRANSFER, name)
        if default is not None:
            assert default == value == transferred
        else:
            said = re.search(r"default: (\S+), with --from (\S+)\.$", parameters[name].help)
            assert said is not None and (float(said[1]), float(said[2])) == (value, transferred), name


def test_the_help_of_pretrain_names_the_sizes_a_model_has_by_default() -> None:
    """In square brackets the defaults would be taken for markup, and vanish."""
    shown = CliRunner().invoke(app, ["pretrain", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    sizes = GRUArchitecture(vocabulary_size=4)
    for option, size in (("layers", sizes.layers), ("hidden", sizes.hidden_size), ("embedding", sizes.embedding_size)):
        assert re.search(rf"--{option}.*default: {size}\b", shown), option


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_square_brackets_of_a_help_are_shown(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    told = [command.help, *(parameter.help for parameter in command.params)]
    wanted = {name for text in told for name in re.findall(r"\[[a-z][\w.]*\]", text)}
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "400", "NO_COLOR": "1"}).stdout
    assert {name for name in wanted if name not in shown} == set()
    assert "\\[" not in shown
    assert wanted or words != ("offline",)


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, molbuffer.flows.cli.commands; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_are_messages_and_exit_codes(tmp_path: Path, molbuffer_process: Command) -> None:
    missing = molbuffer_process("config", "check", tmp_path / "nowhere.toml")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith(f"error: {tmp_path}/nowhere.toml: ")
    assert "Traceback" not in missing.stderr
    unknown = molbuffer_process("frobnicate")
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr


def test_tracebacks_come_back_on_request(tmp_path: Path, molbuffer_process: Command) -> None:
    done = molbuffer_process("config", "check", tmp_path / "nowhere.toml", MOLBUFFER_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(f"{BIN} config schema | head -1", shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_module_beside_the_user_can_be_scored_with(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(smiles):\n    return 0.5\n")
    (tmp_path / "storage.py").write_text("raise RuntimeError('a file of the user must not hide a room')\n")
    (tmp_path / "c.toml").write_text(
        '[[objective.components]]\nkind = "python"\nfunction = "mine:score"\n'
        '[[samplers]]\nkind = "model"\nname = "live"\nbuffer_size = 1\n'
    )
    done = subprocess.run([str(BIN), "config", "check", "c.toml"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


NOISY = """
import subprocess
print("imported")

def score(smiles):
    print("scoring", smiles)
    subprocess.run(["echo", "from a program"])
    return 0.5
"""


def test_what_a_function_of_the_user_prints_is_not_in_the_results(
    tmp_path: Path, with_server: dict[str, str], one_process: Callable[..., Any]
) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    (tmp_path / "two.smi").write_text("CCO\nCCN\n")
    (tmp_path / "c.toml").write_text(
        '[[objective.components]]\nkind = "python"\nfunction = "noisy:score"\n'
        '[[samplers]]\nkind = "model"\nname = "live"\nbuffer_size = 1\n'
    )

    checked, scored, built = one_process(
        ["config", "check", "c.toml", "--json"],
        ["score", "two.smi", "--config", "c.toml", "--format", "json"],
        ["build", "c.toml", "--store", "lab", "--json", "--prefect"],
        folder=tmp_path,
        **with_server,
    )
    assert (json.loads(checked.stdout)["ok"], checked.stderr) == (True, "imported\n")
    assert [row["reward"] for row in json.loads(scored.stdout)] == [0.5, 0.5]
    assert scored.stderr.count("scoring CC") == scored.stderr.count("from a program") == 2
    result = json.loads(built.stdout)
    assert result["builds"][0]["kept"] == result["kept"] == 1
    assert result["builds"][0]["drawn"] == result["drawn"]
    assert "from a program" in built.stderr


def test_a_server_that_is_not_there_is_one_message(tmp_path: Path, molbuffer_process: Command) -> None:
    (tmp_path / "c.toml").write_text(
        '[[objective.components]]\nkind = "qed"\n[[samplers]]\nkind = "model"\nname = "live"\nbuffer_size = 1\n'
    )
    address = "http://127.0.0.1:9/api"
    done = molbuffer_process("build", tmp_path / "c.toml", "--store", tmp_path / "lab", PREFECT_API_URL=address)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert f"PREFECT_API_URL={address}" in done.stderr


def test_help_is_whole_in_terminals_of_any_width() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        assert all("\n" not in paragraph for paragraph in command.help.split("\n\n")), name
        for each in command.params:
            # What stands in square brackets is markup, and is not shown.
            assert each.help and "[" not in each.help, (name, each.name)


def test_an_option_that_may_be_left_out_says_what_holds_then() -> None:
    for name, command in COMMANDS.items():
        for each in command.params:
            if each.param_type_name == "option" and not each.required and each.default is None:
                assert "default" in each.help.lower() or "may be repeated" in each.help, (name, each.name, each.help)


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"molbuffer {version('molbuffer')}\n")
