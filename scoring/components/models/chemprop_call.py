"""Predictions of Chemprop models in a worker process, the only process in which scoring imports torch.

A model file of Chemprop is a pickle, which could run any code. Torch's restricted reader reads it, which makes only
tensors, numbers and objects of the classes of Chemprop's own layers.
"""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.components.models.model_files import model_bytes
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError

Statistic = Literal["mean", "std"]
BATCH = 64
_LAYERS = "chemprop.nn."
_DICTIONARY = "lightning.fabric.utilities.data.AttributeDict"
"""A dictionary class of Lightning, which is read as OrderedDict: torch's reader fills no other dictionaries."""


@dataclass(frozen=True)
class ChempropPlan:
    """The models of an ensemble, and the task to predict.

    Attributes:
        files: the path of each model with the sha256 of its content.
        output: the name of the task; empty if the models have one task.
        column: the position of the task, from 0, instead of its name; None if the models have one task.
        statistic: the mean of the predictions of the models, or their standard deviation.
    """

    files: tuple[tuple[str, str], ...]
    output: str
    column: int | None
    statistic: Statistic


@dataclass(frozen=True)
class _Ensemble:
    models: tuple[Any, ...]
    column: int


def check(plans: Sequence[ChempropPlan]) -> list[None]:
    """Load the models, and predict one molecule with each.

    Raises:
        ScoringConfigurationError: a file is no model of molecules, or lacks the task.
    """
    for plan in plans:
        ensemble = _opened(plan)
        try:
            values = _predicted(ensemble, ["C"])
        except ScoringConfigurationError:
            raise
        except Exception as error:
            raise ScoringConfigurationError(
                f"{plan.files[0][0]} cannot predict methane from its graph alone ({type(error).__name__}: {error}): "
                "models with further descriptors or of several components are not supported"
            ) from error
        assert values.shape == (len(plan.files), 1)
    return [None] * len(plans)


def predict(molecules: Sequence[str], plan: ChempropPlan) -> list[RawScore]:
    """Return the score of each canonical SMILES; one that Chemprop cannot predict fails alone."""
    ensemble, scores = _opened(plan), []
    for start in range(0, len(molecules), BATCH):
        scores += _batch(ensemble, molecules[start : start + BATCH], plan)
    return scores


def _batch(ensemble: _Ensemble, molecules: Sequence[str], plan: ChempropPlan) -> list[RawScore]:
    started = time.perf_counter()
    try:
        values = _predicted(ensemble, molecules)
    except Exception as error:
        if len(molecules) == 1:
            return [RawScore.failed(error, time.perf_counter() - started)]
        return [score for smiles in molecules for score in _batch(ensemble, [smiles], plan)]
    # The models of an ensemble are a sample: ddof=1.
    found = values.mean(axis=0) if plan.statistic == "mean" else values.std(axis=0, ddof=1)
    seconds = (time.perf_counter() - started) / len(molecules)
    return [RawScore.of(value, seconds) for value in found.tolist()]


def _predicted(ensemble: _Ensemble, molecules: Sequence[str]) -> NDArray[np.float64]:
    """Return the predictions [models, n]."""
    import torch
    from chemprop.data import MoleculeDatapoint, MoleculeDataset
    from chemprop.data.collate import collate_batch

    dataset = MoleculeDataset([MoleculeDatapoint.from_smi(smiles) for smiles in molecules])
    predictions = []
    for model in ensemble.models:
        # Each model needs a batch of its own, since a model changes its input.
        batch = collate_batch([dataset[position] for position in range(len(dataset))])
        with torch.inference_mode():
            output = model(batch.bmg, batch.V_d, batch.X_d).double().numpy()
        # If a model also predicts an uncertainty, the first number of a task is its mean.
        predictions.append(output[:, ensemble.column] if output.ndim == 2 else output[:, ensemble.column, 0])
    return np.array(predictions)


@lru_cache(maxsize=16)
def _opened(plan: ChempropPlan) -> _Ensemble:
    import torch

    # The values of a molecule do not depend on the number of cores.
    torch.set_num_threads(1)
    loaded = [_loaded(path, model_bytes(Path(path), sha256)) for path, sha256 in plan.files]
    tasks = {(model.n_tasks, tuple(names or ())) for model, names in loaded}
    if len(tasks) > 1:
        raise ScoringConfigurationError(
            f"the models of {plan.files[0][0]} and the others have different tasks: {tasks}"
        )
    ((n, names),) = tasks
    return _Ensemble(tuple(model for model, _ in loaded), _column_of(plan, n, names))


def _column_of(plan: ChempropPlan, n: int, names: Sequence[str]) -> int:
    known = f"{', '.join(names)}" if names else f"{n} tasks without names"
    if plan.output:
        if plan.output not in names:
            raise ScoringConfigurationError(f"{plan.files[0][0]} has no task {plan.output!r}; it has {known}")
        return list(names).index(plan.output)
    if plan.column is None and n > 1:
        raise ScoringConfigurationError(
            f"{plan.files[0][0]} has several tasks; give the name of one as output, or its position as column: {known}"
        )
    column = plan.column or 0
    if column >= n:
        raise ScoringConfigurationError(f"{plan.files[0][0]} has no task at column {column}; it has {known}")
    return column


def _loaded(path: str, content: bytes) -> tuple[Any, Sequence[str] | None]:
    """Return a model in evaluation mode, and the names of its tasks.

    Raises:
        ScoringConfigurationError: the file cannot be read without running code, or is no model of molecules.
    """
    import torch
    from chemprop.models import MPNN
    from chemprop.nn import MulticlassClassificationFFN

    try:
        read = _read_without_code(content)
        names = read.get("output_columns")
        # Chemprop reads files only, and its reader runs code in them: it is given a copy that was written here.
        copy = io.BytesIO()
        torch.save(read, copy)
        copy.seek(0)
        model = MPNN.load_from_file(copy, map_location="cpu")
    except ScoringConfigurationError as error:
        raise ScoringConfigurationError(f"{path} {error}") from error
    except Exception as error:
        raise ScoringConfigurationError(
            f"{path} is no model of molecules that this Chemprop can load ({type(error).__name__}: {error}); expected "
            "a .pt file that `chemprop train` writes; `chemprop convert` makes one of an older model"
        ) from error
    if isinstance(model.predictor, MulticlassClassificationFFN):
        raise ScoringConfigurationError(f"{path} predicts several classes a task, which have no single value")
    model.eval()
    return model, names


def _read_without_code(content: bytes) -> dict[str, Any]:
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    named = get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    foreign = sorted(name for name in named if not (name.startswith(_LAYERS) or name == _DICTIONARY))
    if foreign:
        raise ScoringConfigurationError(
            f"would have code run that is not of Chemprop's layers ({', '.join(foreign)}), and is not read; expected a "
            ".pt file that `chemprop train` writes"
        )
    layers = [name for name in named if name != _DICTIONARY]
    found = [getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in layers]
    with safe_globals([(OrderedDict, _DICTIONARY), *(each for each in found if isinstance(each, type))]):
        read = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(read, dict) or not {"hyper_parameters", "state_dict"} <= read.keys():
        raise ScoringConfigurationError("has no hyper_parameters and state_dict, as a model file of Chemprop 2 has")
    return read
