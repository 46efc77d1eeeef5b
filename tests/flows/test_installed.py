"""The package as a wheel installs it, used from a folder whose files and folders have the names of our rooms."""

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("exchange", "flows", "kinds", "lab", "pages", "samplers", "scoring", "storage", "training")


def test_a_wheel_has_the_one_package_and_all_of_its_rooms(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"molbuffer"}
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", *ROOMS], check=True, capture_output=True, text=True).stdout
    shipped = (".json", ".md", ".py", ".pyi", ".safetensors", ".toml", ".typed")
    expected = {f"molbuffer/{name}" for name in listed.split() if name.endswith(shipped)}
    assert expected - set(names) == set()
    assert "molbuffer/py.typed" in names


def test_the_steps_of_the_demonstration_run_among_files_named_as_our_rooms(
    installed: Path,
    crowded: Path,
    tiny_config: Path,
    with_server: dict[str, str],
    one_process: Callable[..., Any],
) -> None:
    store = ("--store", "storage/lab")
    commands = [
        ["run", tiny_config, *store, "--prefect"],
        ["init", "--store", "storage/other"],
        ["config", "check", tiny_config],
        ["offline", tiny_config, *store, "--prefect"],
        ["runs", *store],
        ["query", *store, "--format", "csv", "SELECT count(*) > 24 FROM samples"],
        ["top", *store],
    ]
    said = [each.stdout for each in one_process(*commands, folder=crowded, programs=installed, **with_server)]
    assert len(said) == len(commands)
    assert "finished" in said[4]
    assert said[5].endswith("true\n")
    assert said[6]
