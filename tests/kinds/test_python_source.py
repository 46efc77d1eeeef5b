"""R5: the version of a function of the user is of all that it computes with."""

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from molbuffer.kinds import SourceError, python_source, registered_object
from molbuffer.kinds.python_source import read_source
from molbuffer.scoring import FILTERS, ScoringConfigurationError, score_many
from molbuffer.scoring.components import PythonFunction

FILES = {
    "score.py": "import helper, package.part\nfrom package import nested\n\ndef score(smiles):\n"
    "    import late\n    return helper.A + package.part.B + nested.deep.C + late.D\n",
    "helper.py": "A = 1",
    "package/__init__.py": "",
    "package/part.py": "from .sibling import B",
    "package/sibling.py": "B = 10",
    "package/nested/__init__.py": "from . import deep",
    "package/nested/deep.py": "C = 100",
    "late.py": "D = 1000",
    "unused.py": "E = 1",
    "weights.json": "[1]",
}
OF_THE_SCORE = sorted(FILES.keys() - {"unused.py", "weights.json"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a function that imports modules beside it, in all the ways that there are."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture(autouse=True)
def _as_in_a_new_process() -> Iterator[None]:
    read_source.cache_clear()
    yield
    read_source.cache_clear()


def component(folder: Path, **named: object) -> PythonFunction:
    return PythonFunction("score:score", folder=str(folder), **named)  # type: ignore[arg-type]


def test_the_modules_beside_a_function_belong_to_it(folder: Path) -> None:
    source = read_source("score", str(folder))
    named = {name.replace(".", "/") for name in source.modules}
    assert named == {name.removesuffix(".py").removesuffix("/__init__") for name in OF_THE_SCORE}
    (score,) = score_many(component(folder), ["C"])
    assert score.value == 1111


@pytest.mark.parametrize("changed", OF_THE_SCORE)
def test_r5_the_version_changes_with_each_module(folder: Path, changed: str) -> None:
    before = component(folder).version
    (folder / changed).write_text(FILES[changed] + "\n# another text")
    read_source.cache_clear()
    assert component(folder).version != before


def test_r5_the_version_does_not_change_with_what_does_not_matter(folder: Path, tmp_path: Path) -> None:
    before = component(folder).version
    (folder / "unused.py").write_text("E = 2")
    read_source.cache_clear()
    assert component(folder, cost="high", parallel=True, name="other", timeout=9.0).version == before
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in OF_THE_SCORE:
        (moved / name).parent.mkdir(exist_ok=True, parents=True)
        (moved / name).write_text(FILES[name])
    assert component(moved).version == before


def test_r5_the_version_is_of_parameters_files_and_revision(folder: Path) -> None:
    (folder / "score.py").write_text("def score(smiles, scale=1.0):\n    return 1\ndef other(smiles):\n    return 1\n")
    variants = [
        component(folder),
        PythonFunction("score:other", folder=str(folder)),
        component(folder, parameters={"scale": 2.0}),
        component(folder, revision="May"),
        component(folder, files=["weights.json"]),
    ]
    (folder / "weights.json").write_text("[2]")
    variants.append(component(folder, files=["weights.json"]))
    assert len({variant.version for variant in variants}) == len(variants)


def test_r5_the_version_is_of_installed_packages_unless_told_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "helper.py").write_text("import numpy, json\nA = 1")

    def versions() -> tuple[str, str]:
        read_source.cache_clear()
        return component(folder).version, component(folder, packages=False).version

    known = importlib.metadata.version
    counted, plain = versions()
    monkeypatch.setattr(python_source.importlib.metadata, "version", lambda name: f"{known(name)}.post1")
    later, still_plain = versions()
    assert (counted != later, plain == still_plain) == (True, True)


def test_r5_a_module_that_is_edited_meanwhile_computes_what_its_version_says(folder: Path) -> None:
    first = component(folder)
    for name in ("score.py", "helper.py"):
        (folder / name).write_text("A = 5\ndef score(smiles):\n    return 5\n")
    # A process that starts now imports what was read, and so does one in which the folder was not imported before.
    assert [score.value for score in score_many(component(folder, parallel=True), ["C", "N"])] == [1111, 1111]
    assert component(folder).version == first.version
    read_source.cache_clear()
    later = component(folder)
    assert later.version != first.version
    assert score_many(later, ["C"])[0].value == 5
    assert score_many(first, ["C"])[0].value == 1111


def test_a_file_that_changes_meanwhile_ends_the_scoring(folder: Path) -> None:
    weighted = component(folder, files=["weights.json"])
    (folder / "weights.json").write_text("[2, 3]")
    with pytest.raises(ScoringConfigurationError) as raised:
        score_many(weighted, ["C"])
    assert "weights.json" in str(raised.value)


def test_a_module_named_as_one_of_ours_or_of_a_package_is_the_users(tmp_path: Path) -> None:
    for name in ("scoring", "yaml", "tests"):
        (tmp_path / f"{name}.py").write_text("def score(smiles):\n    return 7\n")
        assert score_many(PythonFunction(f"{name}:score", folder=str(tmp_path)), ["C"])[0].value == 7


def test_a_module_that_another_one_is_imported_instead_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def score(smiles):\n    return 7\n")
    with pytest.raises(ScoringConfigurationError, match=r"'json' in .* has the name of one of Python's standard"):
        PythonFunction("json:score", folder=str(tmp_path))
    (tmp_path / "yaml.py").write_text("def score(smiles):\n    return 7\n")
    with pytest.raises(ScoringConfigurationError, match=r"'yaml' in .* has the name of an installed package"):
        score_many(PythonFunction("yaml:score", folder=str(tmp_path), in_process=True), ["C"])
    with pytest.raises(SourceError, match=r"'yaml' in .* would hide"):
        registered_object(FILTERS, "yaml:Any", str(tmp_path))


def test_a_module_elsewhere_on_the_path_brings_its_neighbours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    assert PythonFunction("score:score", folder="/").version == component(folder).version


def test_a_function_without_source_needs_a_revision() -> None:
    assert PythonFunction("math:fabs", revision="1").version != PythonFunction("math:fabs", revision="2").version


def test_of_an_installed_function_only_its_own_module_is_read() -> None:
    source = read_source("json", "/")
    assert set(source.modules) == {"json"}
