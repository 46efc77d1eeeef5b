import functools
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing
from typer.testing import CliRunner

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.cli import app
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks import local_builder
from molbuffer.flows.work import run_online
from molbuffer.samplers.policies.policy import open_policy
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Commit, Event, PolicyVersion, Reward, Run, RunKind, Samples
from molbuffer.storage.rows import Rows

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("flows", "kinds", "lab", "pages", "samplers", "scoring", "storage", "training")

CAN_RUN_FLOWS = ("build", "run", "offline", "pretrain", "demo")
"""The commands that tests have run without Prefect, unless they say ``--prefect``."""

SMALL_PRIOR = Path(__file__).parents[1] / "data" / "small-prior"
"""A prior with a small part of the products of matrices of zinc-gru (tests/small_prior.py)."""

TINY = f"""
[campaign]
name = "tiny"
seed = 3
iterations = 4
batch_size = 16

[policy]
prior = "{SMALL_PRIOR}"

[objective]
[[objective.components]]
kind = "qed"

[[filters]]
kind = "property"
name = "molecular_weight"
min = 150
max = 550

[buffer]
build_every = 2
runs = "own"

[[samplers]]
kind = "model"
name = "live"
buffer_size = 24
p_batch = 0.5

[training]
checkpoint_every = 2

[offline]
steps = 3
batch_size = 16
"""


@pytest.fixture(scope="session", autouse=True)
def built_command() -> Iterator[None]:
    """Builds the command once for all its calls in this process: to do so for each takes as long as a small query."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", functools.cache(typer.testing._get_command))
        yield


@pytest.fixture(scope="session")
def with_server(prefect_server: None) -> dict[str, str]:
    """What tells a process to run its flows with that server: to start one of its own would take it 6 s."""
    from prefect.settings import PREFECT_API_URL

    return {"PREFECT_API_URL": str(PREFECT_API_URL.value())}


@dataclass(frozen=True)
class Finished:
    """What became of a command."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Finished]


def _choice(
    request: pytest.FixtureRequest, arguments: tuple[str | Path, ...], environment: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The words of a command, and its environment: what it does by itself would hang on the profile of whoever runs the
    tests, and on whether another test has imported Prefect.
    """
    words, name = [str(argument) for argument in arguments], "PREFECT_API_URL"
    if words[0] == "deploy" or "--prefect" in words:
        server = {} if name in environment else request.getfixturevalue("with_server")
        return words, {**server, **environment}
    if words[0] in CAN_RUN_FLOWS and "--no-prefect" not in words and name not in environment:
        words.append("--no-prefect")
    return words, environment


@pytest.fixture(scope="session")
def molbuffer(request: pytest.FixtureRequest) -> Command:
    """Runs the command in this process, with what is given by name in its environment; with ``--prefect`` on the server
    of the session.

    A process for each would import torch, Prefect and Polars again. What only a process shows is for
    ``molbuffer_process``.
    """

    def run(*arguments: str | Path, **environment: str) -> Finished:
        words, variables = _choice(request, arguments, environment)
        with as_in_a_process():
            result = CliRunner().invoke(app, words, env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Finished(result.exit_code, result.stdout, result.stderr)

    return run


@contextmanager
def as_in_a_process() -> Iterator[None]:
    """Warnings of ours go to standard error, and what a command sets for the rest of its process is taken back."""
    environment = dict(os.environ)
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    propagated = [logger.propagate for logger in loggers]
    assert logging.lastResort is not None
    logging.getLogger("molbuffer").addHandler(logging.lastResort)
    yield
    logging.getLogger("molbuffer").removeHandler(logging.lastResort)
    os.environ.clear()
    os.environ.update(environment)
    for logger, before in zip(loggers, propagated, strict=True):
        logger.propagate = before


Refused = Callable[..., BaseException]


@pytest.fixture(scope="session")
def refused() -> Refused:
    """Runs a command that ends with exit code 1 and one message; returns the error that the message reports."""

    def run(*arguments: object) -> BaseException:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        error = result.exception
        while isinstance(error, (SystemExit, typer.Exit)):
            error = error.__cause__ or error.__context__
        assert error is not None
        assert result.stderr.endswith(f"error: {error}\n")
        assert "Traceback" not in result.stderr
        return error

    return run


@pytest.fixture(scope="session")
def molbuffer_process(request: pytest.FixtureRequest) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command as a process, as ``molbuffer`` does in this one."""

    def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        words, variables = _choice(request, arguments, environment)
        program = Path(sys.executable).parent / "molbuffer"
        return subprocess.run(
            [str(program), *words],
            capture_output=True,
            text=True,
            env={**os.environ, **variables},
            timeout=600,
        )

    return run


ONE_AFTER_ANOTHER = """
import json, runpy, sys
script, end, commands = sys.argv[1:]
for words in json.loads(commands):
    sys.argv[:] = [script, *words]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
    for output in (sys.stdout, sys.stderr):
        print(end, file=output, flush=True)
"""
END = "-- the end of a command --\n"


@pytest.fixture(scope="session")
def one_process() -> Callable[..., list[Finished]]:
    """Runs commands that succeed in one process, which imports torch, Polars and Prefect once; the script that it runs
    for each is the command of the environment.
    """

    def run(
        *commands: Sequence[str | Path],
        folder: Path,
        programs: Path = Path(sys.executable).parent,
        **environment: str,
    ) -> list[Finished]:
        words = json.dumps([[str(word) for word in command] for command in commands])
        done = subprocess.run(
            [programs / "python", "-P", "-c", ONE_AFTER_ANOTHER, programs / "molbuffer", END.strip(), words],
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs = zip(done.stdout.split(END), done.stderr.split(END), strict=True)
        return [Finished(0, said, errors) for said, errors in outputs][: len(commands)]

    return run


@pytest.fixture(scope="session")
def small_prior() -> Path:
    """The folder of that prior."""
    return SMALL_PRIOR


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tiny campaign, for fixtures that are shared."""
    path = tmp_path_factory.mktemp("template") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny_config(tiny_template: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copy(tiny_template, tmp_path))


@pytest.fixture
def tiny_settings(tiny_config: Path) -> Settings:
    return load_settings(tiny_config)


@pytest.fixture(scope="session")
def scored_template(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two builds of 16 rows each, in a segment each, scored under the objective of the tiny campaign."""
    folder = tmp_path_factory.mktemp("scored")
    settings = load_settings(tiny_template)
    with SampleStore.create(folder / "store") as store:
        policy = open_policy(str(SMALL_PRIOR), store)
        objective = build_objective(settings).sha256
        store.start_run(Run("a" * 32, "tiny", RunKind.BUILD, settings.to_json(), 3, objective_sha256=objective))
        for iteration in range(2):
            smiles = [f"{'C' * (1 + row)}{'O' * iteration}" for row in range(16)]
            tokens, lengths = policy.vocabulary.encode_many(smiles)
            build = Build(
                run_id="a" * 32,
                iteration=iteration,
                event=Event.BUILD_BUFFER,
                sampler="live",
                sampler_kind="model",
                samples=Samples(
                    raw=smiles,
                    smiles=smiles,
                    rejected_by=[None] * 16,
                    rows=Rows(
                        tokens=tokens,
                        lengths=lengths,
                        log_probs=np.zeros(tokens.shape, np.float32),
                        vocabulary_sha256=policy.vocabulary.sha256,
                    ),
                ),
                policy_sha256=policy.sha256,
                objective_sha256=objective,
                rewards=[Reward(row, objective, row / 20) for row in range(16)],
            )
            version = PolicyVersion(policy.sha256, policy.kind, run_id="a" * 32, iteration=0, weights_kept=True)
            store.commit(Commit([build], policies=[version]))
    return folder / "store"


@pytest.fixture
def scored_store(scored_template: Path, tmp_path: Path) -> Path:
    """A copy of it, as stores may be copied while nothing has them open."""
    return shutil.copytree(scored_template, tmp_path / "lab")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that nothing is left in the checkout; links are kept as links.
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    source = folder / "source"
    for name in filter(None, listed.stdout.split("\0")):
        if name.startswith(("tests/", "docs/", "benchmarks/")) or not os.path.lexists(ROOT / name):
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (source / name).symlink_to(os.readlink(ROOT / name))
        else:
            (source / name).write_bytes((ROOT / name).read_bytes())
    make = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    done = subprocess.run([sys.executable, *make], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("molbuffer-*.whl")
    return made


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that has the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A path in a .pth file is searched, but its own .pth files are not read: the checkout stays out.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["-m", "pip", "--python", str(folder), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run([sys.executable, *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="session")
def crowd() -> Callable[[Path], Path]:
    """Fills a working folder with packages and a module that are called as our rooms are."""

    def fill(folder: Path) -> Path:
        for room in ROOMS:
            (folder / room).mkdir(parents=True)
        for room in ("samplers", "storage"):
            (folder / room / "__init__.py").write_text("")
        (folder / "scoring.py").write_text("raise RuntimeError('a file of the user was imported instead of ours')\n")
        return folder

    return fill


@pytest.fixture
def crowded(crowd: Callable[[Path], Path], tmp_path: Path) -> Path:
    return crowd(tmp_path / "work")


@pytest.fixture
def trained_through_kills(through_kills: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Trains, ended after some commits and gone on with each time; returns what the training says in the end."""

    def trained(config: str, folder: Path, run_id: str, *, at: Collection[int]) -> dict[str, Any]:
        return through_kills(lambda: run_online(config, str(folder), local_builder, run_id=run_id), at=at)

    return trained
