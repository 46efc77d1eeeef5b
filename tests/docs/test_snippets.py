"""Every command and snippet of the documentation runs, in the order in which it stands on its page.

Each page is run in a folder of its own, with a small campaign in ``campaign.toml`` and the store ``lab`` of one run
of it. Shell blocks are run line by line, Python blocks one after the other as one script, and SQL is asked of
``lab``. TOML is laid over the campaign and must pass ``config check``. A block that cannot be run has the mark ``<!--
not run: REASON -->`` before it, and its commands must still be commands with such options; ``<!-- needs: MODULE -->``
runs it where there is that module. Blocks of ``text`` are output.
"""

import importlib.util
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

import molbuffer as mb
from molbuffer.flows.cli import app
from molbuffer.flows.settings import load_settings
from molbuffer.flows.tools.reinvent_config.toml_text import toml_text

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def _beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


blocks, page_files = _beside("blocks"), _beside("page_files")

PAGES = sorted(
    page.relative_to(ROOT / "docs").as_posix()
    for page in (ROOT / "docs").rglob("*.md")
    if not {"design", "_site"} & set(page.parts)
)
WITH_BLOCKS = [name for name in (*PAGES, "../README.md") if "```" in (ROOT / "docs" / name).read_text()]

SMALL_PRIOR = ROOT / "tests" / "data" / "small-prior"
CAMPAIGN = f"""
[campaign]
name = "demo"
iterations = 2
batch_size = 8

[policy]
prior = "{SMALL_PRIOR}"

[objective]
[[objective.components]]
kind = "qed"
[[objective.components]]
kind = "sa_score"
transform = {{ kind = "reverse_sigmoid", low = 3, high = 5 }}
[[objective.components]]
kind = "property"
property = "logp"
transform = {{ kind = "double_sigmoid", low = 1, high = 4 }}

[buffer]
build_every = 2

[[samplers]]
kind = "model"
name = "live"
buffer_size = 16
p_batch = 0.5

[training]
checkpoint_every = 2

[offline]
steps = 2
"""
SMALLER = (
    ("iterations = 100 ", "iterations = 2 "),
    ("batch_size = 64 ", "batch_size = 8 "),
    ("buffer_size = 384", "buffer_size = 16"),
    ("steps = 500", "steps = 2"),
    ('prior = "zinc-gru"', f'prior = "{SMALL_PRIOR}"'),
)
"""What is cut down in the example configuration, whose sizes are those of real work."""
SHORTER = (
    ("--draws 1000", "--draws 20"),
    ("--iterations 200", "--iterations 3"),
    ("--agents 2 --iterations 4", "--agents 2 --iterations 2"),
    ("n=256", "n=16"),
    ("n=64)", "n=16)"),
    ("batch_size=64", "batch_size=8"),
    ("iterations=50", "iterations=2"),
    ("--from zinc-gru", f"--from {SMALL_PRIOR} --epochs 1 --draws 20"),
)
"""The same of commands and of Python."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, molbuffer: Callable[..., Any]) -> Path:
    """A folder with the campaign and the store of one run."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "campaign.toml").write_text(CAMPAIGN)
    done = molbuffer("run", folder / "campaign.toml", "--store", folder / "lab")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a page is run in."""
    name = request.getfixturevalue("page")
    place = tmp_path / "page"
    shutil.copytree(request.getfixturevalue("shared"), place)
    page_files.FILES.get(name, lambda _: None)(place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(place)
    return place


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_the_blocks_of_a_page_run(page: str, folder: Path, request: pytest.FixtureRequest) -> None:
    run = Page(page, folder, request)
    for block in blocks.blocks_of(ROOT / "docs" / page):
        try:
            run.run(block)
        except BaseException as error:
            error.add_note(f"in the block at line {block.line} of docs/{page}:\n{block.code}")
            raise
    if "lab" in run.names:
        assert_runs_ended(page, run.names)
    run.close()


def assert_runs_ended(page: str, names: Mapping[str, Any]) -> None:
    """Runs that Python of a page began are finished, and the page about Python has made what it speaks of."""
    folder = Path.cwd() / "lab"
    with mb.open(folder, read_only=True) as lab:
        assert set(lab.runs()["status"]) == {"finished"}
        made = set(lab.runs()["name"])
    if page == "how-to/python.md":
        assert {"notebook", "own loss", "own sampler", "own model", "offline", "score"} <= made
        assert names["lines"][0] == "32/32"
        assert names["result"].iterations == 4
        assert len(names["frame"]) > 100


class Page:
    """A page as it is run: the names that its Python has made, and its folder."""

    def __init__(self, name: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.name, self.folder, self.request = name, folder, request
        self.names: dict[str, Any] = {"__name__": "page"}

    def run(self, block: Any) -> None:
        """Run a block, or check that it says why it is not run."""
        assert block.language in blocks.LANGUAGES, block.language
        if block.not_run is not None:
            self.check(block)
        elif all(importlib.util.find_spec(module) for module in block.needs):
            getattr(self, block.language)(block)

    def check(self, block: Any) -> None:
        """Check a block that is not run as far as that goes."""
        if block.language == "sh":
            for line in block.commands:
                if line.startswith("molbuffer "):
                    parsed(line)
        elif block.language == "toml":
            tomllib.loads(block.code)

    def close(self) -> None:
        """Close the store that Python of the page has opened."""
        for value in self.names.values():
            if isinstance(value, mb.Lab):
                value.close()

    def text(self, block: Any) -> None:
        """Output is not run, and no command hides in it."""
        assert not re.search(r"^\s*\$? ?molbuffer .*--store", block.code.split(":\n")[0], re.MULTILINE)

    def sh(self, block: Any) -> None:
        """Run the lines of a block as a shell would."""
        for line in block.commands:
            assert line.startswith("molbuffer "), f"{line!r} is not a command that a test can run; mark the block"
            self.command(line)

    def command(self, line: str) -> None:
        command, target = _redirected(self.known(line))
        words = shlex.split(command)[1:]
        done = self.request.getfixturevalue("molbuffer")(*words, COLUMNS="200")
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if target:
            (self.folder / target).write_text(smaller(done.stdout) if target == "campaign.toml" else done.stdout)

    def known(self, line: str) -> str:
        """Return a line with what stands for something of the reader's."""
        for written, short in SHORTER:
            line = line.replace(written, short)
        if "RUN_ID" in line:
            line = line.replace("RUN_ID", self.newest_run())
        if "postgres://" in line:
            line = line.replace(
                "postgres://chem@db.example/lab", self.request.getfixturevalue("postgres_server") + "/postgres"
            )
            line = line.replace("s3://lab-bucket/store", self.request.getfixturevalue("s3_environment"))
        return line

    def newest_run(self) -> str:
        with mb.open(self.folder / "lab", read_only=True) as lab:
            return str(lab.query("SELECT run_id FROM runs WHERE kind <> 'score' ORDER BY created DESC LIMIT 1").item())

    def python(self, block: Any) -> None:
        """Run a block where the others of the page have ended; tracebacks name the line of the page."""
        code = "\n" * (block.line - 1) + block.code
        for written, short in SHORTER:
            code = code.replace(written, short)
        if self.name != "how-to/python.md":
            self.names.setdefault("mb", mb)
            if re.search(r"\blab\.", code) and "lab =" not in code:
                self.names.setdefault("lab", mb.open(self.folder / "lab"))
        exec(compile(code, f"docs/{self.name}", "exec"), self.names)

    def sql(self, block: Any) -> None:
        """Ask the store each statement, with the newest run for every ?."""
        with mb.open(self.folder / "lab", read_only=True) as lab:
            for statement in block.code.split(";"):
                if statement.strip():
                    lab.query(statement, [self.newest_run()] * statement.count("?"))

    def toml(self, block: Any) -> None:
        """Check a block as part of the campaign."""
        base, given = tomllib.loads(CAMPAIGN), tomllib.loads(block.code)
        base["campaign"]["iterations"] = 100
        file = self.folder / "checked.toml"
        file.write_text(toml_text(laid_over(base, given)))
        load_settings(file)


def laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables with others laid over them: lists of tables go on, and samplers of one name are one."""
    merged = dict(base)
    for key, value in given.items():
        before = merged.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = laid_over(before, value)
            if "named" in value:
                del merged[key]["components"]
        elif isinstance(value, list) and isinstance(before, list):
            names = {each.get("name") for each in value} - {None}
            merged[key] = [*(each for each in before if each.get("name") not in names), *value]
        else:
            merged[key] = value
    return merged


def smaller(example: str) -> str:
    """Return the example configuration with sizes that take seconds."""
    for full, small in SMALLER:
        assert full in example, full
        example = example.replace(full, small)
    return example


def _redirected(line: str) -> tuple[str, str]:
    """Return a command, and the file that its output goes to; signs in quotes are none of the shell's."""
    found = re.fullmatch(r"(.*?) > ([\w.-]+)", line)
    return (found[1], found[2]) if found else (line, "")


def parsed(line: str) -> None:
    """Check that a command line calls a command with options that it has."""
    words = shlex.split(_redirected(line)[0])[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words, line
        assert words[0] in command.commands, f"{line!r} calls no command"
        command = command.commands[words.pop(0)]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    options = [word for word in words if word.startswith("-") and not re.fullmatch(r"-[0-9.]+|-", word)]
    assert set(options) <= known, f"{line!r} has {sorted(set(options) - known)}, which is no option"


def pages_without_index() -> Iterator[str]:
    for index in (ROOT / "docs").glob("*/index.md"):
        text = index.read_text()
        yield from (
            page.relative_to(ROOT / "docs").as_posix()
            for page in index.parent.glob("*.md")
            if page != index and f"({page.name})" not in text
        )


def test_every_page_is_linked_from_the_index_of_its_folder() -> None:
    assert not list(pages_without_index())


def test_the_readme_has_the_two_commands_and_make_has_them() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "docs"):
        assert f"make {target}" in readme
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize(
    "line",
    ["molbuffer runz --store lab", "molbuffer query --stor lab", "molbuffer config", "molbuffer runs --store lab -q"],
)
def test_a_command_that_is_none_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        parsed(line)


@pytest.mark.parametrize("text", ["```sh\nx\n", "  ```sh\n  x\n  ```\n", "<!-- skip: no -->\n```sh\nx\n```\n"])
def test_a_block_that_would_not_be_run_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(AssertionError):
        blocks.blocks_of(tmp_path / "page.md")
