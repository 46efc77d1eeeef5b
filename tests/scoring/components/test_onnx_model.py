"""ONNX models as components: a small one that is committed, and ones that are made here to be wrong."""

from __future__ import annotations

import importlib.util
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator

from molbuffer.scoring import Component, ScoringConfigurationError, score_many
from molbuffer.scoring import errors as scoring_errors
from molbuffer.scoring.components import OnnxModel

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx")),
    reason="pip install 'molbuffer[onnx]' onnx",
)
ROOT = Path(__file__).parents[3]
LOGP = ROOT / "examples/models/logp.onnx"
MOLECULES = [line.split()[0] for line in (ROOT / "tests/data/molecules.smi").read_text().splitlines()]


def logp(**more: Any) -> OnnxModel:
    return OnnxModel(**({"model": str(LOGP), "features": "morgan_counts", "bits": 1024} | more))


def linear(
    path: Path,
    weights: Any,
    *,
    rows: int | str = "n",
    opset: int = 17,
    outputs: tuple[str, ...] = ("y",),
    inputs: int = 2,
    nan: bool = False,
) -> str:
    """Write a model of y = log(x @ weights) if nan, else x @ weights; further outputs are the same."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = np.array(weights, np.float32)
    shape = [rows, weights.shape[0]] if inputs == 2 else [rows]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["product"])]
    nodes += [helper.make_node("Log" if nan else "Identity", ["product"], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, weights.shape[1]]) for name in outputs],
        [numpy_helper.from_array(weights, "w")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return str(path)


def test_it_keeps_the_protocol() -> None:
    component = logp()
    assert isinstance(component, Component)
    assert (component.name, component.cost, component.bounded) == ("onnx:logp", "low", True)
    assert pickle.loads(pickle.dumps(component)).version == component.version


def test_values_are_those_of_the_model_on_the_fingerprint() -> None:
    from onnx import load, numpy_helper

    weights, mean = (numpy_helper.to_array(each) for each in load(LOGP).graph.initializer)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    counts = np.array([generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(each)) for each in MOLECULES])
    found = [score.value for score in logp().values(MOLECULES)]
    assert np.allclose(found, (counts @ weights + mean)[:, 0], atol=1e-4)


def test_values_do_not_depend_on_processes_or_company() -> None:
    many = score_many(logp(), MOLECULES * 2)
    alone = [logp().values([smiles])[0].value for smiles in MOLECULES]
    assert np.allclose([score.value for score in many], alone * 2, atol=1e-5)


def test_what_cannot_be_parsed_fails_alone() -> None:
    good, bad, other = logp().values(["CCO", "C1CC", "CCC"])
    assert (good.value, other.value) == (logp().values(["CCO"])[0].value, logp().values(["CCC"])[0].value)
    assert bad.error == "'C1CC' is no molecule"


def test_descriptors_are_given_in_their_order(tmp_path: Path) -> None:
    model = linear(tmp_path / "model.onnx", [[1.0], [100.0]])
    component = OnnxModel(model, features="descriptors", descriptors=("TPSA", "NumHDonors"))
    molecule = Chem.MolFromSmiles("CCO")
    assert component.values(["CCO"])[0].value == pytest.approx(Descriptors.TPSA(molecule) + 100, abs=1e-3)


def test_a_molecule_without_a_finite_value_fails_alone(tmp_path: Path) -> None:
    model = linear(tmp_path / "model.onnx", [[1.0]], nan=True)
    component = OnnxModel(model, features="descriptors", descriptors=("NumHDonors",))
    one, none = component.values(["CO", "CC"])
    assert one.value == 0.0
    assert none.error == "got -inf, expected a finite number"
    charge = OnnxModel(model, features="descriptors", descriptors=("MinPartialCharge",))
    (metal,) = charge.values(["[Fe]C"])
    assert metal.error == "the descriptor MinPartialCharge has no finite value for it"


def test_an_output_and_a_column_are_chosen(tmp_path: Path) -> None:
    model = linear(tmp_path / "model.onnx", [[1.0, 2.0]], outputs=("label", "probabilities"))
    settings: dict[str, Any] = {"model": model, "features": "descriptors", "descriptors": ("NumHDonors",)}
    with pytest.raises(ScoringConfigurationError, match=r"several outputs.*label, probabilities"):
        OnnxModel(**settings)
    with pytest.raises(ScoringConfigurationError, match="no output 'other'; it has label, probabilities"):
        OnnxModel(**settings, output="other")
    with pytest.raises(ScoringConfigurationError, match="2 columns; give one as column"):
        OnnxModel(**settings, output="label")
    with pytest.raises(ScoringConfigurationError, match="2 columns, and no column 2"):
        OnnxModel(**settings, output="label", column=2)
    assert OnnxModel(**settings, output="label", column=1).values(["CO"])[0].value == 2.0


def test_a_model_of_a_fixed_number_of_rows_is_filled_up(tmp_path: Path) -> None:
    model = linear(tmp_path / "model.onnx", [[1.0]], rows=4)
    component = OnnxModel(model, features="descriptors", descriptors=("NumHDonors",))
    assert [score.value for score in component.values(["CC", "CO", "OCCO", "CO", "CCC"])] == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(
    "change",
    [{"radius": 3}, {"chirality": True}, {"features": "morgan"}, {"output": "logp"}, {"column": 0}],
    ids=str,
)
def test_the_version_changes_with_what_decides_the_value(change: dict[str, Any]) -> None:
    assert logp(**change).version != logp().version


def test_the_version_is_that_of_the_content(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(LOGP.read_bytes())
    assert logp(model=str(copy)).version == logp().version
    other = linear(copy, np.ones((1024, 1)))
    assert logp(model=other).version != logp().version


def test_a_file_that_changes_under_a_run_is_refused(tmp_path: Path) -> None:
    from molbuffer.scoring.components.models.onnx_session import open_session

    component = logp(model=linear(tmp_path / "model.onnx", np.ones((1024, 1))))
    linear(tmp_path / "model.onnx", np.zeros((1024, 1)))
    open_session.cache_clear()
    with pytest.raises(ScoringConfigurationError, match="has changed since the run began"):
        component.values(["CCO"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "nowhere.onnx"}, "nowhere.onnx cannot be read: No such file"),
        ({"model": str(ROOT / "LICENSE")}, "LICENSE is no model that onnxruntime"),
        ({"bits": 2048}, "expects 1024 features a molecule, got 2048"),
        ({"features": "descriptors"}, "a list of descriptors belongs to features 'descriptors'"),
        ({"descriptors": ("TPSA",)}, "a list of descriptors belongs to features 'descriptors'"),
        ({"features": "descriptors", "descriptors": ("TSPA",)}, "did you mean 'TPSA'?"),
        ({"features": "ecfp"}, "unknown features 'ecfp'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=re.escape(message)):
        logp(**settings)


def test_a_model_of_a_newer_opset_or_with_other_inputs_is_refused(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"features": "descriptors", "descriptors": ("TPSA",)}
    with pytest.raises(ScoringConfigurationError, match="with an opset of that release"):
        OnnxModel(linear(tmp_path / "newer.onnx", [[1.0]], opset=999), **settings)
    with pytest.raises(ScoringConfigurationError, match=r"has the inputs x: .*; expected one, of numbers"):
        OnnxModel(linear(tmp_path / "flat.onnx", [[1.0]], rows=1, inputs=1), **settings)


def test_a_missing_package_is_said_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ScoringConfigurationError, match=re.escape('pip install "molbuffer[onnx]"')):
        logp()


def test_values_are_finite() -> None:
    assert all(score.value is not None and math.isfinite(score.value) for score in logp().values(MOLECULES))
