"""The house: each package says what it is for and what others may use of it, and others use nothing else."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("exchange", "flows", "kinds", "lab", "pages", "samplers", "scoring", "storage", "training")
FILES = [file.relative_to(ROOT) for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
PACKAGES = sorted(".".join(file.parent.parts) for file in FILES if file.name == "__init__.py")
MODULES = {".".join(file.with_suffix("").parts) for file in FILES}
OF_THEIR_OWN_RIGHT = ("pages.explorer", "samplers.models", "scoring.components")
"""Packages that other rooms import from, beside the rooms themselves."""


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_what_it_is_for_and_exports_what_exists(name: str) -> None:
    package = importlib.import_module(f"molbuffer.{name}")
    assert package.__doc__ and package.__doc__.split("\n")[0].endswith(".")
    exported = getattr(package, "__all__", [])
    assert list(exported) == sorted(exported)
    for each in exported:
        # A name that is a module's, too, would be one or the other, whichever was imported first.
        assert f"{name}.{each}" not in MODULES and f"{name}.{each}" not in PACKAGES
        assert getattr(package, each) is not None


def test_the_names_in_each_stub_are_sorted() -> None:
    for stub in (stub for room in ROOMS for stub in (ROOT / room).rglob("__init__.pyi")):
        (listed,) = (node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.Assign))
        names = ast.literal_eval(listed.value)
        assert names == sorted(names, key=lambda each: (not each.isupper(), not each[0].isupper(), each)), stub


def imports() -> Iterator[tuple[Path, str, list[str]]]:
    """Each import of ours: the file, the module without ``molbuffer.``, and the names."""
    for file in FILES:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("molbuffer."):
                yield file, node.module.removeprefix("molbuffer."), [alias.name for alias in node.names]


def test_other_rooms_import_only_what_a_room_exports() -> None:
    inside = [
        f"{file} imports from molbuffer.{module}"
        for file, module, _ in imports()
        if module.split(".")[0] != file.parts[0] and module not in (*ROOMS, *OF_THEIR_OWN_RIGHT)
    ]
    assert inside == []


def test_packages_of_a_room_import_only_what_a_package_exports() -> None:
    inside = []
    for file, module, names in imports():
        package = ".".join(module.split(".")[:2])
        in_room = module.startswith(f"{file.parts[0]}.") and package in PACKAGES
        if in_room and module != package and package.split(".")[1] not in file.parts:
            # A function that is called as its module is imported from there: see above.
            inside += [f"{file}: {module}.{name}" for name in names if module.split(".")[-1] != name]
    assert inside == [], "import from the package, not from its modules"


def test_a_room_does_not_import_its_own_face() -> None:
    # import-linter takes that for no import at all, so that a low layer could reach a high one.
    upwards = [
        f"{file}: {name}"
        for file, module, names in imports()
        for name in names
        if module == file.parts[0] and f"{module}.{name}" not in {*MODULES, *PACKAGES}
    ]
    assert upwards == []


def imported_by(commands: list[list[str]], libraries: tuple[str, ...]) -> tuple[str, str]:
    """Run commands in a process; return the libraries that it has imported, and the exit codes."""
    code = (
        "import sys; from typer.testing import CliRunner; from molbuffer.flows.cli import app\n"
        f"print([CliRunner().invoke(app, each).exit_code for each in {commands}], file=sys.stderr)\n"
        f"print([name for name in {libraries} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.strip()


def test_light_commands_import_no_heavy_library(empty_store: Path) -> None:
    store = ["--store", str(empty_store)]
    commands = [
        ["--help"],
        ["score", "--help"],
        ["config", "example"],
        ["runs", *store],
        ["top", *store],
        ["query", *store, "SELECT 1"],
    ]
    assert imported_by(commands, ("torch", "prefect", "rdkit")) == ("[]", str([0] * len(commands)))


def test_a_configuration_is_checked_without_models_and_servers() -> None:
    example = ROOT / "flows" / "settings" / "example.toml"
    commands = [["config", "schema"], ["config", "check", str(example)]]
    assert imported_by(commands, ("torch", "prefect", "zarr")) == ("[]", "[0, 0]")
