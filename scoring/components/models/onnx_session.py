"""An ONNX model that gives one value a molecule: loaded and checked once in each process, then run on batches."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.components.models.model_files import model_bytes
from molbuffer.scoring.errors import ScoringConfigurationError

LARGEST_BATCH = 512
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
_NUMBERS = frozenset(_TYPES)


@dataclass(frozen=True)
class OnnxPlan:
    """An ONNX model, and the output to read.

    Attributes:
        path: the path of the file.
        sha256: the sha256 of the file.
        features: the number of features of a molecule.
        output: the name of the output; empty if the model has one output.
        column: the column of the output, from 0; None if the output has one column.
    """

    path: str
    sha256: str
    features: int
    output: str
    column: int | None


class OnnxSession:
    """A loaded model.

    Raises:
        ScoringConfigurationError: the file is no ONNX model that this onnxruntime can load, or its inputs or outputs
            are not those of the plan.
    """

    def __init__(self, plan: OnnxPlan) -> None:
        self._plan = plan
        self._session = _load(plan)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].type not in _TYPES:
            got = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)
            raise ScoringConfigurationError(
                f"the model {plan.path} has the inputs {got}; expected one, of numbers [molecules, features]"
            )
        self._input = inputs[0]
        width, rows = self._input.shape[1], self._input.shape[0]
        if isinstance(width, int) and width != plan.features:
            raise ScoringConfigurationError(
                f"the model {plan.path} expects {width} features a molecule, got {plan.features}: set features, bits "
                "or descriptors to those that it was trained on"
            )
        self._rows = rows if isinstance(rows, int) else None
        self._output = self._chosen_output()

    def _chosen_output(self) -> str:
        outputs, plan = self._session.get_outputs(), self._plan
        names = [each.name for each in outputs]
        if not plan.output and len(outputs) > 1:
            raise ScoringConfigurationError(
                f"the model {plan.path} has several outputs; give the name of one as output: {', '.join(names)}"
            )
        name = plan.output or names[0]
        if name not in names:
            raise ScoringConfigurationError(
                f"the model {plan.path} has no output {plan.output!r}; it has {', '.join(names)}"
            )
        chosen = outputs[names.index(name)]
        if chosen.type not in _NUMBERS:
            raise ScoringConfigurationError(
                f"the output {name} of {plan.path} is {chosen.type}, expected numbers; export a classifier of "
                "scikit-learn with zipmap=False"
            )
        return str(name)

    def values(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values [n] of molecules with features [n, features].

        Raises:
            ScoringConfigurationError: the output has another shape than the plan expects.
        """
        size = self._rows or LARGEST_BATCH
        parts = [self._batch(features[start : start + size]) for start in range(0, len(features), size)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _batch(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        n = len(features)
        # A model with a fixed number of rows gets rows of zeros after the last molecule.
        rows: NDArray[Any] = np.zeros((self._rows or n, features.shape[1]), _TYPES[self._input.type])
        rows[:n] = features
        (output,) = self._session.run([self._output], {self._input.name: rows})
        return self._column(np.asarray(output))[:n].astype(np.float64)

    def _column(self, output: NDArray[Any]) -> NDArray[Any]:
        plan, n = self._plan, self._rows
        wide = output.reshape(len(output), -1) if output.ndim else output.reshape(1, 1)
        if n is not None and len(wide) != n:
            raise ScoringConfigurationError(f"the output {self._output} of {plan.path} has no row for each molecule")
        if plan.column is None and wide.shape[1] > 1:
            raise ScoringConfigurationError(
                f"the output {self._output} of {plan.path} has {wide.shape[1]} columns; give one as column, from 0"
            )
        column = plan.column or 0
        if column >= wide.shape[1]:
            raise ScoringConfigurationError(
                f"the output {self._output} of {plan.path} has {wide.shape[1]} columns, and no column {column}"
            )
        return wide[:, column]


@lru_cache(maxsize=16)
def open_session(plan: OnnxPlan) -> OnnxSession:
    """Return the session of a model, which this process caches; errors are those of ``OnnxSession``."""
    session = OnnxSession(plan)
    # A run on one row checks what the description of the model does not state, such as the number of columns.
    session.values(np.zeros((1, plan.features)))
    return session


def _load(plan: OnnxPlan) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Molecules are divided among processes, each of which would otherwise start a thread for each core.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    content = model_bytes(Path(plan.path), plan.sha256)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise ScoringConfigurationError(
            f"{plan.path} is no model that onnxruntime {importlib.metadata.version('onnxruntime')} can load: "
            f"{_first_line(error)}; export it whole into one file, with an opset of that release"
        ) from error


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
