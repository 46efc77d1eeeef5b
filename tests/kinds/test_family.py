"""Kinds of other packages and of files: found, named when they are broken, and never in the way of others."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from molbuffer.kinds import family as families
from molbuffer.kinds.errors import BrokenKindError, KindError, UnknownKindError
from molbuffer.kinds.family import Family
from molbuffer.kinds.one_of import OneOf
from molbuffer.kinds.python_object import add_object
from molbuffer.kinds.table import KindTable
from molbuffer.samplers.models.registry import MODELS
from molbuffer.scoring.filters import FILTERS, SingleComponent

GOOD = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Short:
    \"\"\"Keeps short molecules.

    Attributes:
        longest: the most atoms.
    \"\"\"

    longest: int = 3
    name: str = "short"

    def accepts(self, molecule):
        return molecule.GetNumAtoms() <= self.longest

@dataclass(frozen=True)
class Strange:
    at: object = ...
    name: str = "strange"
    where: "Nowhere" = None

    def accepts(self, molecule):
        return True

class NoDataclass:
    name = "plain"
    def accepts(self, molecule):
        return True

@dataclass
class NoFilter:
    name: str = "x"

number = 3
"""

Install = Callable[..., None]
CALLS = itertools.count()


@pytest.fixture(autouse=True)
def _own_kinds_of_each_test() -> Iterator[None]:
    """What a test adds to the kinds of the process is there for no other."""
    yield
    MODELS._added.clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package with entry points on the path, as an installation does."""

    def put(name: str, entries: dict[str, str], module: str = "", text: str = GOOD) -> None:
        folder = tmp_path / name
        metadata = folder / f"{name.replace('-', '_')}-1.2.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "".join(f"{kind} = {value}\n" for kind, value in entries.items())
        (metadata / "entry_points.txt").write_text(f"[molbuffer.filters]\n{lines}")
        if module:
            (folder / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(folder))
        families._entry_points.cache_clear()
        families._registered.cache_clear()

    yield put
    families._entry_points.cache_clear()
    families._registered.cache_clear()


def table(keys: dict[str, Any]) -> KindTable:
    # Another choice each time: typing keeps what it was given first, and a choice keeps the kinds that it found.
    choice = OneOf(FILTERS, without=(str(next(CALLS)),))
    adapter: TypeAdapter[KindTable] = TypeAdapter(Annotated[KindTable, choice])
    return adapter.validate_python(keys)


def test_the_kinds_of_an_installed_package_are_as_ours(install: Install) -> None:
    install("their-filters", {"short": "their_filters:Short"}, "their_filters")
    kind = FILTERS.kinds["short"]
    assert (kind.source, kind.value, kind.is_own, kind.problem) == (
        *("their-filters 1.2", "their_filters:Short"),
        *(False, None),
    )
    made = table({"kind": "short", "longest": 2})
    assert made.build().longest == 2
    assert made.foreign_name == "filters short of their-filters 1.2"
    assert made.foreign_sha256 == kind.source_sha256 and len(kind.source_sha256) == 64
    assert table({"kind": "single_component"}).foreign_sha256 is None
    with pytest.raises(ValidationError, match="longest"):
        table({"kind": "short", "longest": "2"})


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("their_broken:NoFilter", "accepts"),
        ("their_broken:NoDataclass", "no dataclass"),
        ("their_broken:number", "expected a class"),
        ("their_broken:Absent", "Absent"),
        ("not_there:Short", "not_there"),
        ("their_broken:Strange", "Nowhere"),
    ],
)
def test_a_broken_kind_is_named_and_leaves_the_others_usable(install: Install, value: str, named: str) -> None:
    install("their-broken", {"short": "their_broken:Short", "bad": value}, "their_broken")
    assert table({"kind": "short"}).build().name == "short"
    assert table({"kind": "single_component"}).build() == SingleComponent()
    with pytest.raises(ValidationError) as caught:
        table({"kind": "bad"})
    assert "bad" in str(caught.value) and "their-broken 1.2" in str(caught.value) and named in str(caught.value)


@pytest.mark.parametrize(
    "text", ["raise SystemError('licence')", "import sys; sys.exit(0)", "import no_such_module_anywhere", "def (:"]
)
def test_a_module_that_cannot_be_imported_is_named(install: Install, text: str) -> None:
    install("their-import", {"bad": "their_import:Short"}, "their_import", text)
    with pytest.raises(BrokenKindError, match=r"their-import 1\.2"):
        _ = FILTERS["bad"]
    assert table({"kind": "single_component"}).build() == SingleComponent()


def test_of_two_kinds_with_one_name_ours_or_the_first_counts(install: Install) -> None:
    install("b-filters", {"single_component": "b_filters:Short", "short": "b_filters:Short"}, "b_filters")
    install("a-filters", {"short": "a_filters:Short"}, "a_filters")
    assert FILTERS["single_component"] is SingleComponent
    assert FILTERS.kinds["short"].package == "a-filters"
    assert [kind.package for kind in FILTERS.registered if kind.name == "short"] == ["a-filters", "b-filters"]


def test_a_kind_that_cannot_be_used_takes_no_name_from_one_that_can(install: Install) -> None:
    install("c-filters", {"short": "c_filters:Short"}, "c_filters", "import sys; sys.exit(0)")
    install("d-filters", {"short": "d_filters:Short"}, "d_filters")
    assert FILTERS.kinds["short"].package == "d-filters"
    assert table({"kind": "short"}).build().name == "short"


def test_an_unknown_kind_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UnknownKindError, match="alerts, elements"):
        _ = FILTERS["shrt"]


def test_a_class_in_a_file_is_a_kind_of_any_family(tmp_path: Path) -> None:
    (tmp_path / "own_filters.py").write_text(GOOD)
    place = {"kind": "python", "folder": str(tmp_path)}
    made = table({**place, "object": "own_filters:Short", "longest": 1})
    assert (made.build().longest, made.foreign_name) == (1, "filters own_filters:Short")
    again = table(made.model_dump())
    assert (again.build(), again.model_dump()) == (made.build(), made.model_dump())
    for value, named in {
        "own_filters:Shrt": "Shrt",
        "own_filters": "module:class",
        "nowhere_filters:Short": "nowhere_filters",
        "own_filters:NoFilter": "accepts",
    }.items():
        with pytest.raises(ValidationError, match=named):
            table({**place, "object": value})
    with pytest.raises(ValidationError) as caught:
        table({**place, "object": "own_filters:Short", "longest": "1", "wide": 2})
    assert {error["loc"][-1] for error in caught.value.errors()} == {"longest", "wide"}


class WithKeys(KindTable):
    """The keys of all tables of a family."""

    size: int = 1


def test_the_keys_of_a_class_in_a_file_stand_beside_those_of_all_tables(tmp_path: Path) -> None:
    (tmp_path / "sized_filters.py").write_text(GOOD)
    adapter: TypeAdapter[WithKeys] = TypeAdapter(Annotated[WithKeys, OneOf(FILTERS, WithKeys)])
    keys = {"kind": "python", "folder": str(tmp_path), "object": "sized_filters:Short", "longest": 2, "size": 3}
    made = adapter.validate_python(keys)
    assert (made.size, made.build().longest) == (3, 2)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python({**keys, "size": "3", "longest": "2"})
    assert {error["loc"][-1] for error in caught.value.errors()} >= {"size"}


MODEL = """
from dataclasses import dataclass
from molbuffer.samplers.models.lstm import LSTMArchitecture, LSTMLanguageModel

class Mine(LSTMLanguageModel):
    kind = "mine"
    Sizes = LSTMArchitecture

class Taken(Mine):
    kind = "gru"

class Nameless(Mine):
    kind = ""

class Sizeless(LSTMLanguageModel):
    kind = "sizeless"
"""


def test_a_module_in_a_file_that_ends_the_process_is_named(tmp_path: Path) -> None:
    (tmp_path / "ending_filters.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ValidationError, match="ending_filters"):
        table({"kind": "python", "folder": str(tmp_path), "object": "ending_filters:Short"})


def test_a_class_of_models_in_a_file_is_a_kind_of_this_process(tmp_path: Path) -> None:
    (tmp_path / "own_models.py").write_text(MODEL)
    add_object(MODELS, "own_models:Mine", str(tmp_path))
    add_object(MODELS, "own_models:Mine", str(tmp_path))
    assert MODELS["mine"].make({"vocabulary_size": 7, "hidden_size": 8}).kind == "mine"
    assert MODELS.kinds["mine"].source == "own_models.py"
    for name, named in {"Taken": "taken by that of molbuffer", "Nameless": "no attribute", "Sizeless": "Sizes"}.items():
        with pytest.raises(KindError, match=named):
            add_object(MODELS, f"own_models:{name}", str(tmp_path))


def test_a_family_has_the_kinds_of_its_group_alone() -> None:
    assert list(Family("nobodys", lambda found: found)) == []
