import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.scoring import Component, ScoringConfigurationError, score_many
from molbuffer.scoring.components import PythonFunction, RawScore, score_stream

SOURCE = """
import os, signal, sys, time

from molbuffer.scoring import ScorerUnavailableError

def length(smiles, scale=1.0):
    return scale * len(smiles)

def lengths(many):
    return (len(smiles) for smiles in many)

def moody(smiles):
    if "F" in smiles:
        raise RuntimeError("no fluorine please")
    if "Cl" in smiles:
        sys.exit("goodbye")
    return {"C": None, "N": float("nan"), "O": float("inf"), "S": "0.5", "P": -7}.get(smiles[0], len(smiles))

def moody_batch(many):
    return [moody(smiles) for smiles in many]

def short_batch(many):
    return [1.0 for smiles in many if smiles != "P"]

def needs(smiles, threshold):
    return threshold

def pid(smiles):
    return os.getpid()

def deadly(smiles, way=""):
    if smiles == "Br":
        {
            "exit": lambda: os._exit(3),
            "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
            "abort": os.abort,
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        }[way]()
    return len(smiles)

def deadly_batch(many, way=""):
    return [deadly(smiles, way) for smiles in many]

def slow(smiles):
    if smiles == "Br":
        time.sleep(600)
    return len(smiles)

def slow_batch(many):
    return [slow(smiles) for smiles in many]

def machinery(smiles):
    raise {
        "C": MemoryError(),
        "N": ConnectionResetError("the server hung up"),
        "O": FileNotFoundError("vina"),
        "S": ScorerUnavailableError("no licence left"),
        "P": type("OutOfMemoryError", (RuntimeError,), {})("CUDA"),
        "F": ValueError("no pose"),
    }[smiles]

def dead(smiles):
    os._exit(4)

not_a_function = 3
"""
MANY = [f"C{'C' * (row % 7)}{'O' * (row // 7)}" for row in range(69)] + ["Br"]
"""70 different texts, one of which is deadly."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module of scoring functions."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "functions.py").write_text(SOURCE)
    return folder


@pytest.fixture
def function(folder: Path) -> Callable[..., PythonFunction]:
    """Makes a component of one of the functions."""
    return lambda name, **named: PythonFunction(f"functions:{name}", folder=str(folder), **named)


def values(component: Component, *smiles: str) -> list[float | None]:
    return [score.value for score in score_many(component, smiles)]


def test_a_function_of_one_molecule(function: Callable[..., PythonFunction]) -> None:
    component = function("length", parameters={"scale": 2.0}, cost="high")
    assert isinstance(component, Component)
    assert component.name == "python:functions:length"
    assert (component.cost, component.parallel, component.bounded) == ("high", False, True)
    assert values(component, "C", "CCO", "C") == [2, 6, 2]


def test_a_function_of_a_batch(function: Callable[..., PythonFunction]) -> None:
    component = function("lengths", batch=True)
    assert values(component, "C", "CCO") == [1, 3]
    assert values(component) == []


@pytest.mark.parametrize("name", ["moody", "moody_batch"])
@pytest.mark.parametrize("in_process", [False, True])
def test_r25_what_a_function_raises_or_returns_amiss_fails_that_molecule_only(
    function: Callable[..., PythonFunction], name: str, in_process: bool
) -> None:
    component = function(name, batch=name == "moody_batch", in_process=in_process)
    smiles = ["BB", "F", "Cl", "C", "N", "O", "S", "P"]
    scores = dict(zip(smiles, score_many(component, smiles), strict=True))
    assert {text: score.value for text, score in scores.items() if score.value is not None} == {"BB": 2, "P": -7}
    assert not any(score.lost for score in scores.values())
    expected = {"F": "RuntimeError", "Cl": "SystemExit", "C": "None", "N": "nan", "O": "inf", "S": "'0.5'"}
    assert all(said in str(scores[text].error) for text, said in expected.items())


def test_r25_a_batch_of_too_few_values_is_tried_in_halves(function: Callable[..., PythonFunction]) -> None:
    scores = score_many(function("short_batch", batch=True), ["BB", "P", "S"])
    assert [score.value for score in scores] == [1.0, None, 1.0]


@pytest.mark.parametrize("name", ["deadly", "deadly_batch"])
@pytest.mark.parametrize("cost", ["low", "high"])
@pytest.mark.parametrize("parallel", [False, True])
def test_r27_a_molecule_that_ends_the_process_fails_alone(
    function: Callable[..., PythonFunction], name: str, cost: str, parallel: bool
) -> None:
    component = function(
        name, batch=name == "deadly_batch", cost=cost, parallel=parallel, parameters={"way": "segfault"}
    )
    scores = dict(score_stream(component, MANY))
    assert {text for text, score in scores.items() if score.value is None} == {"Br"}
    assert (scores["Br"].lost, "SIGSEGV" in str(scores["Br"].error), len(scores)) == (False, True, 70)


@pytest.mark.parametrize(("way", "said"), [("exit", "exit code 3"), ("abort", "SIGABRT"), ("kill", "SIGKILL")])
def test_r27_the_error_says_how_the_process_ended(function: Callable[..., PythonFunction], way: str, said: str) -> None:
    (score,) = score_many(function("deadly", parameters={"way": way}), ["Br"])
    assert (score.lost, said in str(score.error)) == (False, True)


@pytest.mark.parametrize("batch", [False, True])
def test_r27_a_molecule_without_an_answer_in_time_is_lost_and_the_others_are_scored(
    function: Callable[..., PythonFunction], batch: bool
) -> None:
    component = function("slow_batch" if batch else "slow", batch=batch, timeout=4.0, cost="high")
    scores = dict(score_stream(component, ["C", "N", "Br", "O"]))
    assert {text: score.value for text, score in scores.items()} == {"C": 1, "N": 1, "Br": None, "O": 1}
    assert scores["Br"].lost


@pytest.mark.parametrize("parallel", [False, True])
def test_a_stream_that_is_left_ends_what_is_at_work(function: Callable[..., PythonFunction], parallel: bool) -> None:
    stream = score_stream(function("slow", cost="high", parallel=parallel), ["C", "Br", "N", "Br"])
    assert next(stream)[1].value is not None
    stream.close()  # type: ignore[attr-defined]
    # It would last ten minutes otherwise; and those that come next are computed.
    assert values(function("slow", cost="high", parallel=parallel), "CC", "CCC") == [2, 3]


def test_r27_failures_of_the_machinery_are_not_the_molecules(function: Callable[..., PythonFunction]) -> None:
    scores = dict(score_stream(function("machinery"), ["C", "N", "O", "S", "P", "F"]))
    assert {text: score.lost for text, score in scores.items()} == dict.fromkeys("CNOSP", True) | {"F": False}


@pytest.mark.parametrize("parallel", [False, True])
def test_r27_a_function_that_always_dies_is_no_failure_of_the_molecules(
    function: Callable[..., PythonFunction], parallel: bool
) -> None:
    scores = score_many(function("dead", parallel=parallel), MANY)
    assert len(scores) == len(MANY)
    assert all(score.lost and "exit code 4" in str(score.error) for score in scores)


def test_an_interrupt_is_no_failed_score(folder: Path) -> None:
    (folder / "interrupts.py").write_text("def interrupt(smiles):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        score_many(PythonFunction("interrupts:interrupt", folder=str(folder), in_process=True), ["C"])


def test_it_runs_in_this_process_only_if_told(function: Callable[..., PythonFunction]) -> None:
    apart, again = (set(values(function("pid"), *MANY)) for _ in range(2))
    shared = set(values(function("pid", parallel=True), *MANY))
    assert apart == again
    assert len(apart) == 1
    assert not (apart | shared) & {os.getpid()}
    assert values(function("pid", in_process=True), "C") == [os.getpid()]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"function": "length"}, "module:function"),
        ({"function": ":length"}, "module:function"),
        ({"function": "no_such_module:length"}, "no_such_module"),
        ({"function": "functions:lenght"}, "did you mean 'length'"),
        ({"function": "functions:not_a_function"}, "int"),
        ({"function": "functions:length", "cost": "huge"}, "'huge'"),
        ({"function": "functions:length", "parameters": {"scales": 1}}, "'scales'"),
        ({"function": "functions:needs"}, "'threshold'"),
        ({"function": "functions:length", "parameters": {"scale": {1}}}, "JSON"),
        ({"function": "functions:length", "parameters": {"scale": math.nan}}, "JSON"),
        ({"function": "math:sqrt"}, "revision"),
        ({"function": "functions:length", "timeout": 0.0}, "timeout"),
        ({"function": "functions:length", "timeout": 1.0, "in_process": True}, "in_process"),
        ({"function": "functions:length", "parallel": True, "in_process": True}, "in_process"),
        ({"function": "functions:length", "files": ["missing.json"]}, "'missing.json'"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused(folder: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ScoringConfigurationError) as raised:
        PythonFunction(folder=str(folder), **settings)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no licence')", "no licence"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("import os\nos._exit(9)", "exit code 9"),
        ("def score(smiles) return 1", "line 1"),
        ("import no_such_package", "no_such_package"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_configuration_error(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(ScoringConfigurationError) as raised:
        PythonFunction("broken:score", folder=str(tmp_path))
    assert said in str(raised.value)


def test_a_score_that_is_lost_has_an_error() -> None:
    with pytest.raises(ValueError, match="lost"):
        RawScore(1.0, lost=True)
