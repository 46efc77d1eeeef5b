"""``report`` writes a page of a store or of an archive, and ``compare`` puts runs beside each other."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.storage import SampleStore

SMALL = Path(__file__).parents[3] / "pages" / "small_store.py"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("small_store", SMALL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_small(tmp_path_factory.mktemp("look") / "lab")


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_report_is_one_file_of_a_store(lab, tmp_path):
    (tmp_path / "own.smi").write_text("OCC\nCc1ccccc1\n")
    done = invoke(
        *("report", "--store", lab, "--out", tmp_path / "r.html", "--run", "alpha", "--objective", "aaaa", "--json"),
        *("--reference", tmp_path / "own.smi", "--molecule", "OCC", "--title", "Last night", "--best", "2"),
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    page = (tmp_path / "r.html").read_text()
    assert (told["out"], told["bytes"]) == (str(tmp_path / "r.html"), len(page.encode()))
    assert "<h1>Last night</h1>" in page and "Compared with 2 molecules of own.smi" in page
    assert ">beta<" not in page and list(tmp_path.glob("*.html")) == [tmp_path / "r.html"]


def test_a_report_of_an_archive_in_a_tar_file(lab, tmp_path):
    with SampleStore.open(lab, read_only=True) as store:
        store.archive(tmp_path / "lab.tar.gz", runs=["run-b"])
    done = invoke("report", "--store", tmp_path / "lab.tar.gz", "--out", tmp_path / "r.html", "--molecule", "C#N")
    assert done.exit_code == 0, done.output
    assert "no run of this report has drawn C#N" in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'r.html'}: ") and "open it in a browser" in done.stdout
    page = (tmp_path / "r.html").read_text()
    assert "<h1>lab.tar.gz</h1>" in page and "(archive)" in page and ">beta<" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--run", "gamma"], "no run in .* 'gamma'"),
        (["--objective", "gamma"], "'gamma' must be the start of the sha256 of one objective"),
        (["--align", "not one"], "--align 'not one' is no molecule"),
        (["--snapshot", "999"], "no version 999"),
    ],
)
def test_what_a_user_can_put_right_is_one_message(lab, tmp_path, words, told):
    done = invoke("report", "--store", lab, "--out", tmp_path / "r.html", *words)
    assert done.exit_code == 1
    assert done.stderr.count("error: ") == 1
    assert re.search(told, done.stderr)
    assert not (tmp_path / "r.html").exists()


def test_a_place_that_cannot_be_written_is_found_before_the_work(lab, tmp_path):
    done = invoke("report", "--store", lab, "--out", "/proc/x.html")
    assert done.exit_code == 1 and "--out /proc/x.html cannot be written" in done.stderr
    assert invoke("report", "--store", tmp_path, "--out", tmp_path / "r.html").exit_code == 1
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c.toml").write_text("")
    done = invoke("report", "--store", tmp_path / "c.toml", "--out", tmp_path / "r.html")
    assert "is a configuration file: expected an archive or the folder of a store" in done.stderr


def test_runs_are_compared_on_the_terminal(lab):
    done = invoke("compare", "alpha", "--store", lab)
    assert done.exit_code == 0, done.output
    lines = {line.split("  ")[1].strip(): line.split()[-2:] for line in done.stdout.splitlines() if "  " in line}
    assert lines["best reward"] == ["0.9", "0.6"]
    assert lines["ten best after 2 calls"] == ["0.4", "0.45"]
    assert lines["campaign.seed"] == ["1", "2"]
    assert "no setting" not in done.stdout
    told = json.loads(invoke("compare", "run-a1", "beta", "--store", lab, "--json").stdout)
    assert told["runs"] == ["alpha", "beta"]
    assert "cannot be compared" in told["note"] and "best reward" not in told["rows"]
    alone = invoke("compare", "beta", "--store", lab)
    assert (alone.exit_code, alone.stderr) == (1, "error: a comparison needs two runs or more, got beta, which is 1\n")
