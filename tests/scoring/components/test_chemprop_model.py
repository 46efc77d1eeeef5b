"""A Chemprop model as a component: the small one that examples/models/make_chemprop.py trains."""

from __future__ import annotations

import importlib.util
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from molbuffer.scoring import Component, ScoringConfigurationError
from molbuffer.scoring import errors as scoring_errors
from molbuffer.scoring.components import ChempropModel

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("chemprop"), reason="pip install 'molbuffer[chemprop]'")
ROOT = Path(__file__).parents[3]
LOGP = ROOT / "examples/models/logp.pt"
MOLECULES = [line.split()[0] for line in (ROOT / "tests/data/molecules.smi").read_text().splitlines()]


def test_it_keeps_the_protocol() -> None:
    component = ChempropModel(str(LOGP))
    assert isinstance(component, Component)
    assert (component.name, component.cost, component.bounded) == ("chemprop:logp", "low", True)
    assert pickle.loads(pickle.dumps(component)).version == component.version


def test_it_predicts_what_it_was_trained_on_and_each_molecule_alone() -> None:
    component = ChempropModel(str(LOGP))
    found = [score.value for score in component.values(MOLECULES)]
    logp = [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES]
    assert np.corrcoef(found, logp)[0, 1] > 0.7
    alone = [component.values([smiles])[0].value for smiles in MOLECULES[:3]]
    assert np.allclose(found[:3], alone, atol=1e-5)


def test_what_cannot_be_predicted_fails_alone() -> None:
    good, bad = ChempropModel(str(LOGP)).values(["CCO", "C1CC"])
    assert good.value == pytest.approx(ChempropModel(str(LOGP)).values(["CCO"])[0].value)
    assert "SMILES C1CC is invalid" in str(bad.error)


def test_an_ensemble_has_a_mean_and_a_standard_deviation(tmp_path: Path) -> None:
    import torch

    content = torch.load(LOGP, weights_only=False)
    for number in range(2):
        folder = tmp_path / f"ensemble/model_{number}"
        folder.mkdir(parents=True)
        # The last number of the network, in units of the spread of the training set.
        content["state_dict"]["predictor.ffn.1.2.bias"] += number
        torch.save(content, folder / "best.pt")
    first, second = (ChempropModel(str(tmp_path / f"ensemble/model_{number}")) for number in range(2))
    one, two = (each.values(["CCO"])[0].value for each in (first, second))
    mean = ChempropModel(str(tmp_path / "ensemble"))
    std = ChempropModel(str(tmp_path / "ensemble"), statistic="std")
    assert one is not None
    assert two is not None
    assert one < two
    assert mean.values(["CCO"])[0].value == pytest.approx((one + two) / 2)
    assert std.values(["CCO"])[0].value == pytest.approx((two - one) / 2**0.5)
    assert (std.name, len({each.version for each in (first, second, mean, std)})) == ("chemprop:ensemble:std", 4)


def test_a_task_is_chosen_by_its_name_or_column() -> None:
    value = ChempropModel(str(LOGP)).values(["CCO"])
    assert ChempropModel(str(LOGP), output="logp").values(["CCO"])[0].value == value[0].value
    with pytest.raises(ScoringConfigurationError, match="has no task 'pic50'; it has logp"):
        ChempropModel(str(LOGP), output="pic50")
    with pytest.raises(ScoringConfigurationError, match="has no task at column 1; it has logp"):
        ChempropModel(str(LOGP), column=1)


def test_the_version_is_that_of_the_content(tmp_path: Path) -> None:
    shutil.copy(LOGP, tmp_path / "copy.pt")
    assert ChempropModel(str(tmp_path / "copy.pt")).version == ChempropModel(str(LOGP)).version


class Harmful:
    """Runs code when it is read by pickle."""

    def __reduce__(self) -> Any:
        return (exec, (f"open({str(Path('harm').absolute())!r}, 'w')",))


def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"hyper_parameters": Harmful(), "state_dict": {}}, tmp_path / "harmful.pt")
    with pytest.raises(ScoringConfigurationError, match=r"exec.*and is not read"):
        ChempropModel("harmful.pt")
    assert not (tmp_path / "harm").exists()


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no model")
    (tmp_path / "empty").mkdir()
    for settings, message in (
        ({"model": "nowhere.pt"}, "nowhere.pt cannot be read: No such file"),
        ({"model": str(tmp_path / "other.pt")}, "has no hyper_parameters and state_dict"),
        ({"model": str(tmp_path / "text.pt")}, "is no model of molecules that this Chemprop can load"),
        ({"model": str(tmp_path / "empty")}, "has no .pt file"),
        ({"model": str(LOGP), "statistic": "std"}, "needs several models"),
        ({"model": str(LOGP), "statistic": "median"}, "unknown statistic 'median'"),
        ({"model": str(LOGP), "output": "logp", "column": 0}, "a task has a name or a column"),
    ):
        with pytest.raises(ScoringConfigurationError, match=re.escape(message)):
            ChempropModel(**settings)


def test_a_missing_package_is_said_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ScoringConfigurationError, match=re.escape('pip install "molbuffer[chemprop]"')):
        ChempropModel(str(LOGP))
