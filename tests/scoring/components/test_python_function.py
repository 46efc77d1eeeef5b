import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.scoring import Component, ScoringConfigurationError, score_many
from molbuffer.scoring.components import PythonFunction

SOURCE = """
import sys

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
    return [1.0]

def needs(smiles, threshold):
    return threshold

not_a_function = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes an importable module of a source, and gives its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source: str, name: str = "") -> str:
        name = name or f"scorer_{tmp_path.name.replace('-', '_')}_{len(list(tmp_path.iterdir()))}"
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return name

    return make


def values(component: Component, *smiles: str) -> list[float | None]:
    return [score.value for score in score_many(component, smiles)]


def test_a_function_of_one_molecule(module: Callable[[str], str]) -> None:
    name = module(SOURCE)
    component = PythonFunction(f"{name}:length", parameters={"scale": 2.0}, cost="high")
    assert isinstance(component, Component)
    assert component.name == f"python:{name}:length"
    assert (component.cost, component.parallel, component.bounded) == ("high", False, True)
    assert values(component, "C", "CCO") == [2, 6]


def test_a_function_of_a_batch(module: Callable[[str], str]) -> None:
    component = PythonFunction(f"{module(SOURCE)}:lengths", batch=True)
    assert values(component, "C", "CCO") == [1, 3]
    assert values(component) == []


def test_r25_what_a_function_raises_or_returns_amiss_fails_that_molecule_only(module: Callable[[str], str]) -> None:
    component = PythonFunction(f"{module(SOURCE)}:moody")
    smiles = ["BB", "F", "Cl", "C", "N", "O", "S", "P"]
    scores = dict(zip(smiles, score_many(component, smiles), strict=True))
    assert {text: score.value for text, score in scores.items() if score.value is not None} == {"BB": 2, "P": -7}
    assert scores["F"].error == "RuntimeError: no fluorine please"
    assert scores["Cl"].error == "SystemExit: goodbye"
    assert "None" in str(scores["C"].error)
    assert "nan" in str(scores["N"].error)
    assert "inf" in str(scores["O"].error)
    assert "'0.5'" in str(scores["S"].error)


def test_r25_a_batch_fails_as_a_whole_with_the_reason(module: Callable[[str], str]) -> None:
    name = module(SOURCE)
    raising = score_many(PythonFunction(f"{name}:moody_batch", batch=True), ["BB", "F"])
    assert [score.error for score in raising] == ["RuntimeError: no fluorine please"] * 2
    short = score_many(PythonFunction(f"{name}:short_batch", batch=True), ["BB", "P"])
    assert [score.value for score in short] == [None, None]
    assert "1 values for 2 molecules" in str(short[0].error)


def test_an_interrupt_is_no_failed_score(module: Callable[[str], str]) -> None:
    name = module("def interrupt(smiles):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        score_many(PythonFunction(f"{name}:interrupt"), ["C"])


def test_it_runs_in_this_process_unless_declared_parallel(module: Callable[[str], str]) -> None:
    name = module("import os\n\ndef pid(smiles):\n    return os.getpid()\n")
    many = ["C"] * 200
    here = set(values(PythonFunction(f"{name}:pid"), *many))
    there = set(values(PythonFunction(f"{name}:pid", parallel=True), *many))
    assert len(here) == 1
    assert not here & there


def test_a_parallel_function_that_kills_its_process_fails_and_the_campaign_goes_on(
    module: Callable[[str], str],
) -> None:
    name = module("import os\n\ndef crash(smiles):\n    os._exit(5)\n")
    scores = score_many(PythonFunction(f"{name}:crash", parallel=True), ["C"] * 64)
    assert {score.value for score in scores} == {None}
    assert "exit code 5" in str(scores[0].error)


def test_r5_the_version_is_of_source_parameters_and_revision(module: Callable[[str], str]) -> None:
    name = module(SOURCE)
    base = PythonFunction(f"{name}:length")
    variants = [
        PythonFunction(f"{name}:moody"),
        PythonFunction(f"{name}:length", parameters={"scale": 2.0}),
        PythonFunction(f"{name}:length", revision="weights of May"),
    ]
    assert len({base.version, *(variant.version for variant in variants)}) == 4
    same = PythonFunction(f"{name}:length", cost="high", parallel=True, name="other")
    assert same.version == base.version


def test_r5_the_version_changes_with_the_source(module: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    versions = set()
    for body in ("return 1", "return 2", "return 1  # the same, after all"):
        name = module(f"def score(smiles):\n    {body}\n", "edited_scorer")
        monkeypatch.delitem(importlib.sys.modules, name, raising=False)  # type: ignore[attr-defined]
        component = PythonFunction(f"{name}:score")
        assert component.version == component.version
        versions.add(component.version)
    assert len(versions) == 3


def test_r5_a_file_that_is_edited_leaves_the_version_of_what_was_imported(
    module: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = module("def score(smiles):\n    return 1\n")
    first = PythonFunction(f"{name}:score", parallel=True)
    (tmp_path / f"{name}.py").write_text("def score(smiles):\n    return 2.0\n")
    second = PythonFunction(f"{name}:score", parallel=True)
    assert values(second, "C") == [1.0]
    assert second.version == first.version
    # New processes would import the new source: the work stays in this one, which has the old.
    assert set(values(second, *["C"] * 200)) == {1.0}
    assert f"'{name}:score' changed after it was imported" in caplog.text
    importlib.reload(importlib.import_module(name))
    third = PythonFunction(f"{name}:score")
    assert values(third, "C") == [2.0]
    assert third.version != first.version


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "length"}, "named as module:function, got 'length'"),
        ({"function": ":length"}, "named as module:function"),
        ({"function": "no_such_module:length"}, "cannot import 'no_such_module'.*ModuleNotFoundError"),
        ({"function": "{name}:lenght"}, "did you mean 'length'"),
        ({"function": "{name}:not_a_function"}, "int, which cannot be called"),
        ({"function": "{name}:length", "cost": "huge"}, "unknown cost 'huge'"),
        ({"function": "{name}:length", "parameters": {"scales": 1}}, "unexpected keyword argument 'scales'"),
        ({"function": "{name}:needs"}, "missing a required argument: 'threshold'"),
        ({"function": "{name}:length", "parameters": {"scale": {1}}}, "must be JSON values"),
        ({"function": "{name}:length", "parameters": {"scale": math.nan}}, "must be JSON values"),
        ({"function": "math:sqrt"}, "no Python source.*give 'math:sqrt' a revision"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused(
    module: Callable[[str], str], settings: dict[str, Any], message: str
) -> None:
    settings = settings | {"function": settings["function"].format(name=module(SOURCE))}
    with pytest.raises(ScoringConfigurationError, match=message):
        PythonFunction(**settings)


def test_a_module_that_fails_to_import_is_a_configuration_error(module: Callable[[str], str]) -> None:
    name = module("raise RuntimeError('no licence')")
    with pytest.raises(ScoringConfigurationError, match="RuntimeError: no licence"):
        PythonFunction(f"{name}:score")
    script = module("import sys\nsys.exit(0)")
    with pytest.raises(ScoringConfigurationError, match=f"cannot import '{script}' of '{script}:score': SystemExit: 0"):
        PythonFunction(f"{script}:score")


def test_a_function_without_source_needs_a_revision() -> None:
    assert PythonFunction("math:fabs", revision="1").version != PythonFunction("math:fabs", revision="2").version
