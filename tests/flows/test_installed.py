"""The package as a wheel installs it, used from a folder whose files and folders have the names of our rooms."""

import os
import subprocess
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("exchange", "flows", "kinds", "lab", "pages", "samplers", "scoring", "storage", "training")
PATIENCE_SECONDS = 600

END = "-- the end of a command --"
EACH = f"""
import runpy, sys
for words in {{commands}}:
    sys.argv[1:] = words
    try:
        runpy.run_path({{script!r}}, run_name="__main__")
    except SystemExit as end:
        assert not end.code, (words, end)
    print("{END}", flush=True)
"""


def run_among(folder: Path, *command: str | Path, **environment: str) -> str:
    """Runs a program in a folder; gives what it prints."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_has_the_one_package_and_all_of_its_rooms(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"molbuffer"}
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", *ROOMS], check=True, capture_output=True, text=True).stdout
    shipped = (".json", ".md", ".py", ".pyi", ".safetensors", ".toml", ".typed")
    expected = {f"molbuffer/{name}" for name in listed.split() if name.endswith(shipped)}
    assert expected - set(names) == set()
    assert "molbuffer/py.typed" in names


def test_the_steps_of_the_demonstration_run_among_files_named_as_our_rooms(
    installed: Path, crowded: Path, tiny_config: Path, with_server: dict[str, str]
) -> None:
    store = ("--store", "storage/lab")
    # In one process, which imports torch, Polars and Prefect once; the script that it runs is the command.
    commands = [
        ["run", str(tiny_config), *store],
        ["init", "--store", "storage/other"],
        ["config", "check", str(tiny_config)],
        ["offline", str(tiny_config), *store],
        ["runs", *store],
        ["query", *store, "--format", "csv", "SELECT count(*) > 24 FROM samples"],
        ["top", *store],
    ]
    program = EACH.format(script=str(installed / "molbuffer"), commands=commands)
    said = run_among(crowded, installed / "python", "-P", "-c", program, **with_server).split(END)
    assert len(said) == len(commands) + 1
    assert "finished" in said[4]
    assert said[5].endswith("true\n")
    assert said[6]
