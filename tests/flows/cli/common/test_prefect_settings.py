"""What names a Prefect server is found as Prefect itself finds it, and counts where it is in doubt."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from molbuffer.flows.cli.common.prefect_settings import names_a_server

URL = "http://127.0.0.1:4200/api"
ACTIVE = f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{URL}"\n'
HOME = "home/profiles.toml"

Files = Mapping[str, str]

NAMED: dict[str, tuple[dict[str, str], Files]] = {
    "variable": ({"PREFECT_API_URL": URL}, {}),
    "variable in small letters": ({"prefect_api_url": URL}, {}),
    ".env": ({}, {".env": f"OTHER=1\nPREFECT_API_URL={URL}\n"}),
    ".env, exported and quoted": ({}, {".env": f'export prefect_api_url = "{URL}"'}),
    "prefect.toml": ({}, {"prefect.toml": f'[api]\nurl = "{URL}"'}),
    "prefect.toml, dotted": ({}, {"prefect.toml": f'api.url = "{URL}"'}),
    "pyproject.toml": ({}, {"pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"'}),
    "active profile": ({}, {HOME: ACTIVE}),
    "profile of PREFECT_PROFILE": ({"PREFECT_PROFILE": "mine"}, {HOME: ACTIVE.replace('active = "mine"', "")}),
    "profile called ephemeral": ({}, {HOME: ACTIVE.replace("mine", "ephemeral")}),
    "PREFECT_PROFILES_PATH": ({"PREFECT_PROFILES_PATH": "elsewhere.toml"}, {"elsewhere.toml": ACTIVE}),
    "profiles_path of prefect.toml": ({}, {"prefect.toml": 'profiles_path = "p.toml"', "p.toml": ACTIVE}),
    "profiles_path of pyproject.toml": (
        {},
        {"pyproject.toml": '[tool.prefect]\nprofiles_path = "p.toml"', "p.toml": ACTIVE},
    ),
}
"""By what it shows, the variables and the files of a working folder in which Prefect finds the address."""

NOT_NAMED: dict[str, tuple[dict[str, str], Files]] = {
    "nothing": ({}, {}),
    "empty variable": ({"PREFECT_API_URL": ""}, {}),
    "empty variable before a profile": ({"PREFECT_API_URL": ""}, {HOME: ACTIVE}),
    "empty address before a profile": ({}, {"prefect.toml": '[api]\nurl = ""', HOME: ACTIVE}),
    "other settings": (
        {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_SERVER_API_PORT": "4201"},
        {".env": "PREFECT_LOGGING_LEVEL=INFO\n#PREFECT_API_URL=x", "prefect.toml": "[server.api]\nport = 4201"},
    ),
    "profile that is not active": ({}, {HOME: ACTIVE.replace('active = "mine"', "")}),
    "the profile of Prefect": ({}, {HOME: 'active = "ephemeral"\n[profiles.ephemeral]\n'}),
    "the profile of Prefect 2": ({}, {HOME: 'active = "default"\n[profiles.default]\n'}),
    "another project": ({}, {"pyproject.toml": "[project]\nname = 'own'\n[tool.ruff]\n"}),
}

IN_DOUBT: dict[str, tuple[dict[str, str], Files]] = {
    "key of Prefect Cloud": ({"PREFECT_API_KEY": "pnu_1"}, {}),
    "key of Prefect Cloud in prefect.toml": ({}, {"prefect.toml": '[api]\nkey = "pnu_1"'}),
    "settings of the API as JSON": ({"PREFECT_API": json.dumps({"url": URL})}, {}),
    "profiles that .env names": ({}, {".env": "PREFECT_PROFILES_PATH=elsewhere.toml"}),
    "profile without an address": ({"PREFECT_PROFILE": "cloud"}, {}),
    "not TOML": ({}, {"prefect.toml": "[api"}),
    "profiles that are not TOML": ({}, {HOME: "active = "}),
    "not UTF-8": ({}, {"pyproject.toml": "\udcff"}),
    "not a table": ({}, {"prefect.toml": "api = 3"}),
}


@pytest.fixture(autouse=True)
def nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


def written(folder: Path, variables: Mapping[str, str], files: Files) -> dict[str, str]:
    """Write the files; return the variables, with Prefect's folder among them."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    return {"PREFECT_HOME": str(folder / "home"), **variables}


@pytest.mark.parametrize(("variables", "files"), [*NAMED.values(), *IN_DOUBT.values()], ids=[*NAMED, *IN_DOUBT])
def test_a_server_is_named_or_may_be(variables: dict[str, str], files: Files, tmp_path: Path) -> None:
    assert names_a_server(written(tmp_path, variables, files), tmp_path)


@pytest.mark.parametrize(("variables", "files"), NOT_NAMED.values(), ids=NOT_NAMED)
def test_no_server_is_named(variables: dict[str, str], files: Files, tmp_path: Path) -> None:
    assert not names_a_server(written(tmp_path, variables, files), tmp_path)


def test_the_profiles_of_the_home_folder_count_where_no_other_is_named(tmp_path: Path) -> None:
    assert not names_a_server({}, tmp_path)
    (tmp_path / "nobody" / ".prefect").mkdir(parents=True)
    (tmp_path / "nobody" / ".prefect" / "profiles.toml").write_text(ACTIVE)
    assert names_a_server({}, tmp_path)
    assert not names_a_server({"PREFECT_HOME": str(tmp_path)}, tmp_path)


def test_folders_with_the_names_of_files_are_no_settings(tmp_path: Path) -> None:
    for name in (".env", "prefect.toml", "pyproject.toml"):
        (tmp_path / name).mkdir()
    assert not names_a_server({}, tmp_path)


def test_a_file_that_may_not_be_read_is_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prefect.toml").touch()

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert names_a_server({}, tmp_path)


FINDS = """
import json, os, sys
found = []
for variables, folder in json.load(sys.stdin):
    os.chdir(folder)
    before = dict(os.environ)
    os.environ.update(variables)
    from prefect.settings import Settings
    found.append(bool(Settings().api.url))
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(found))
"""


def test_prefect_finds_the_same(tmp_path: Path) -> None:
    """All in one process, since the import of Prefect takes seconds."""
    given, expected = [], []
    for number, (name, (variables, files)) in enumerate({**NAMED, **NOT_NAMED}.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        given.append((written(folder, variables, files), str(folder)))
        expected.append(name in NAMED)
    done = subprocess.run(
        [sys.executable, "-c", FINDS],
        input=json.dumps(given),
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert dict(zip({**NAMED, **NOT_NAMED}, json.loads(done.stdout), strict=True)) == dict(
        zip({**NAMED, **NOT_NAMED}, expected, strict=True)
    )
