"""A store opened as a lab: queries, the history, scores, draws, offline training, and what the package exports."""

import doctest
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import molbuffer as mb
from molbuffer.exchange import IngestError
from molbuffer.samplers.errors import DeviceError, UnknownPolicyNameError
from molbuffer.storage import RunConflictError, UnknownRunError
from molbuffer.storage.errors import PredicateError


@pytest.fixture(scope="module")
def filled_template(
    empty_store: Path, policy: mb.Policy, qed: mb.Objective, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = shutil.copytree(empty_store, tmp_path_factory.mktemp("filled") / "store")
    with mb.open(path) as lab, lab.run("filled", objective=qed, policy=policy, seed=0) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=24)
    return path


@pytest.fixture
def filled(filled_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mb.Lab]:
    """A lab with a build of 24 rows, a copy of the test's own."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    with mb.open(shutil.copytree(filled_template, tmp_path / "lab")) as lab:
        yield lab


def test_importing_and_opening_a_lab_is_light(empty_store: Path) -> None:
    code = (
        "import sys, molbuffer as mb\n"
        "heavy = ('torch', 'prefect', 'rdkit', 'polars', 'duckdb', 'zarr', 'numpy', 'scipy')\n"
        "first = [name for name in heavy if name in sys.modules]\n"
        f"lab = mb.open({str(empty_store)!r}, read_only=True)\n"
        "lab.query('SELECT 1'), lab.runs(), lab.history(), lab.close()\n"
        "print(first, [name for name in ('torch', 'prefect', 'rdkit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_the_public_names_are_sorted_documented_and_there() -> None:
    names = list(mb.__all__)
    assert names == sorted(names)
    assert set(names) <= set(dir(mb))
    for name in names:
        assert getattr(mb, name).__doc__, name


EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "ChempropModel": ("chemprop", "chemprop"),
    "OnnxModel": ("onnxruntime", "onnx"),
    "Vina": ("vina", "docking"),
}
"""The package that the example of a name needs, and its extra."""


@pytest.mark.parametrize("name", mb.__all__)
def test_the_example_of_a_public_name_runs(
    name: str, filled: mb.Lab, qed: mb.Objective, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name][0], reason=f"pip install 'molbuffer[{NEEDS[name][1]}]'")
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(EXAMPLES)
    Path("actives.smi").write_text("CCO\nCCN\nCCC\n")
    names = {"mb": mb, "np": np, "lab": filled, "objective": qed}
    test = doctest.DocTestParser().get_doctest(getattr(mb, name).__doc__, names, name, None, None)
    assert test.examples, f"molbuffer.{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_a_lab_is_queried_with_values_into_polars_arrow_and_a_lazy_frame(filled: mb.Lab) -> None:
    sql = "SELECT smiles, reward FROM sample_history WHERE reward >= ? ORDER BY reward DESC LIMIT 3"
    best = filled.query(sql, [0.1])
    assert isinstance(best, pl.DataFrame)
    assert len(best) == 3
    table = filled.query_table(sql, [0.1])
    assert isinstance(table, pa.Table)
    assert pl.DataFrame(table).equals(best)
    lazy = filled.history().filter(pl.col("reward") >= 0.1).sort("reward", descending=True).head(3)
    assert lazy.select("reward").collect().equals(best.select("reward"))


def test_scores_go_through_the_store(lab: mb.Lab, write_scorer: Any, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    name = write_scorer(
        "from pathlib import Path\n"
        "def score(smiles):\n"
        f"    with Path({str(calls)!r}).open('a') as file:\n"
        "        file.write(smiles + chr(10))\n"
        "    return len(smiles) / 10\n"
    )
    # Otherwise some stored scores would be computed again, to be compared.
    length = mb.PythonFunction(f"{name}:score", in_process=True, deterministic=False, name="length")
    objective = mb.Objective([length])
    scored = lab.score(
        ["OCC", "C", "no molecule", "CCO"], objective, filters=[mb.PropertyRange("molecular_weight", 20)]
    )
    assert scored["molecule"].to_list() == ["CCO", "C", None, "CCO"]
    assert scored["reward"].to_list() == pytest.approx([0.3, 0.1, None, 0.3])
    assert scored["rejected_by"].to_list() == [None, "molecular_weight", "validity", None]
    assert scored.columns == [
        "smiles", "molecule", "rejected_by", "reward", "raw_length", "transformed_length", "error",
    ]  # fmt: skip
    lab.score(["CCO", "CCN"], objective)
    assert sorted(calls.read_text().split()) == ["C", "CCN", "CCO"]
    assert lab.runs()["kind"].to_list() == ["score", "score"]
    with mb.open(lab.store.path, read_only=True) as reader:
        assert reader.score(["CCO"], objective)["reward"].to_list() == pytest.approx([0.3])
        assert len(reader.runs()) == 2


def test_what_was_measured_is_imported_and_trained_on(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    table = tmp_path / "assay.csv"
    table.write_text("smiles,pIC50\nCCO,5\nCCN,6.5\nCCCC,9\nCCCCC,\nno molecule,7\n")
    with pytest.raises(IngestError, match="from 5 to 9"):
        lab.ingest(table, "pic50", policy=policy)
    scale = mb.Linear(4, 9)
    receipt = lab.ingest(table, "pic50", transform=scale, policy=policy)
    assert (receipt.kept, receipt.rejected) == (3, {"no_score": 1, "validity": 1})
    assert lab.ingest(str(table), "pic50", transform=scale, policy=policy).repeated
    objective = mb.Objective([mb.WeightedComponent(mb.Imported("pic50"), transform=scale)])
    trained = lab.offline("assay", objective=objective, policy=policy, steps=1, batch_size=3, seed=0)
    assert lab.runs()["run_id"].to_list() == [trained.run_id, receipt.run_id]


def test_a_report_is_written_from_python(filled: mb.Lab, tmp_path: Path) -> None:
    known = tmp_path / "known.smi"
    known.write_text("CCO\nc1ccccc1\n")
    page = filled.report(tmp_path / "report.html", runs="filled", reference=known, title="From <Python>")
    text = page.read_text()
    assert "<title>From &lt;Python&gt;</title>" in text and "known.smi" in text
    with pytest.raises(UnknownRunError, match="nobody"):
        filled.report(page, runs=["nobody"])
    assert page.read_text() == text


def test_molecules_are_drawn_from_a_policy_in_portions_as_at_once(
    lab: mb.Lab, policy: mb.Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from molbuffer.lab import molecules

    whole = lab.sample(policy, 1100, seed=3)
    monkeypatch.setattr(molecules, "ROWS_AT_ONCE", 512)
    assert lab.sample(policy, 1100, seed=3).equals(whole)
    assert not lab.sample(policy, 1100, seed=4).equals(whole)
    assert whole.columns == ["smiles", "molecule", "log_likelihood"]
    with pytest.raises(UnknownPolicyNameError, match="bundled"):
        lab.sample("nobody")
    with pytest.raises(DeviceError, match="abacus"):
        lab.policy("zinc-gru", device="abacus")
    assert len(lab.runs()) == 0


def test_offline_training_reads_stored_rows_and_is_gone_on_with(
    filled: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    def offline(steps: int, **more: Any) -> Any:
        return filled.offline(
            "offline",
            objective=qed,
            policy=policy,
            seed=1,
            **({"steps": steps, "batch_size": 8, "where": "reward > 0.1", "checkpoint_every": 2} | more),
        )

    straight = offline(4)
    short = offline(2)
    longer = offline(4, resume=short.run_id)
    assert (longer.run_id, longer.iterations) == (short.run_id, 4)
    assert longer.policy_sha256 == straight.policy_sha256 != short.policy_sha256
    assert filled.runs()["kind"].to_list() == ["offline", "offline", "train"]
    rows = filled.query("SELECT count(*) FROM sample_history WHERE reward > 0.1").item()
    assert straight.rows == rows
    with pytest.raises(RunConflictError, match="where"):
        offline(4, resume=short.run_id, where="reward > 0.2")
    with pytest.raises(PredicateError):
        offline(4, where="reward > 0.1; DELETE FROM samples")


def test_an_archive_is_trained_from_and_read(
    filled: mb.Lab, policy: mb.Policy, qed: mb.Objective, tmp_path: Path
) -> None:
    filled.store.archive(tmp_path / "archive")
    with mb.open(tmp_path / "home") as home:
        result = home.offline("home", objective=qed, policy=policy, steps=2, batch_size=8, sources=tmp_path / "archive")
        assert result.rows == 24
        assert home.policy(result.policy_sha256).kind == "gru"
    with mb.open(tmp_path / "archive", read_only=True) as archived:
        assert len(archived.history().collect()) == len(filled.history().collect())


def test_a_dataset_has_the_rows_of_a_condition(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    batches = filled.dataset(qed, batch_size=4, policy=policy, where="reward > 0.3", seed=2, batches=3)
    rewards = [float(reward) for batch in batches for reward in batch.rewards]
    assert len(rewards) == 12
    assert min(rewards) > 0.3
    assert [batch.iteration for batch in filled.dataset(qed, batch_size=4, policy=policy, batches=3, start=1)] == [1, 2]
    with pytest.raises(PredicateError):
        filled.dataset(qed, policy=policy, where="true) OR (true")


def test_a_lab_shows_what_it_is(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    assert repr(lab) == f"<lab {lab.store.path}>"
    with lab.run("shown", objective=qed, policy=policy, seed=0) as run:
        assert repr(run) == f"<run {run.run_id} of {lab.store.path}, iteration 0>"
        assert (run.prior, run.vocabulary, run.seed, run.resumed) == (policy, policy.vocabulary, 0, False)
