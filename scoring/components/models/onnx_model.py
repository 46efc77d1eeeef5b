"""The component of an ONNX model on fingerprints or descriptors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, get_args

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from rdkit import rdBase

from molbuffer.kinds import Count, FileName, NotNegative, Text, Typed, checked
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.models.features import FeatureKind, Features
from molbuffer.scoring.components.models.model_files import model_sha256
from molbuffer.scoring.components.models.onnx_session import OnnxPlan, OnnxSession, open_session
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, check_extra, unknown_name
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.molecules import parse_smiles


@checked
@dataclass(frozen=True)
class OnnxModel:
    """The value that an ONNX model predicts from the fingerprint or the descriptors of a molecule.

    Models of scikit-learn (skl2onnx), XGBoost, LightGBM and torch can be exported to ONNX. Unless the values are in
    [0, 1], as probabilities are, the component needs a transform. Each process runs the model on one thread.

    Attributes:
        model: the .onnx file, with the weights in it. Scores belong to its content, not to its name.
        features: the features that the model was trained on: bits or counts of a folded Morgan fingerprint, or
            descriptors.
        radius: the radius of the fingerprint in bonds; 2 is ECFP4.
        bits: the length of the fingerprint.
        chirality: whether the fingerprint distinguishes stereocentres.
        descriptors: the names of RDKit's descriptors, such as MolWt, in the order of the model's inputs.
        output: the name of the model's output; it may be left out if the model has one output.
        column: the column of that output, from 0, such as 1 for the second class; it may be left out if the output has
            one column.
        name: the component's name in the history, ``onnx:`` and the name of the file by default.

    Example:
        >>> logp = mb.OnnxModel("examples/models/logp.onnx", features="morgan_counts", bits=1024)
        >>> round(logp.values(["CCCCCC"])[0].value) >= 2
        True
    """

    model: Annotated[str, Typed(Text), FileName()]
    features: FeatureKind = "morgan"
    radius: Annotated[int, Ge(0), Le(10)] = 2
    bits: Count = 2048
    chirality: bool = False
    descriptors: Annotated[Sequence[str], Typed(tuple[Text, ...])] = ()
    output: str = ""
    column: Annotated[int | None, Typed(NotNegative | None)] = None
    name: str = ""

    kind: ClassVar[str] = "onnx"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_extra("a component of kind onnx", "onnx", "onnxruntime")
        if self.features not in get_args(FeatureKind):
            raise unknown_name("features", str(self.features), get_args(FeatureKind))
        if self.column is not None and self.column < 0:
            raise ScoringConfigurationError(f"column counts from 0, got {self.column}")
        object.__setattr__(self, "model", str(Path(self.model).absolute()))
        object.__setattr__(self, "descriptors", tuple(self.descriptors))
        object.__setattr__(self, "name", self.name or f"{self.kind}:{Path(self.model).stem}")
        # Loaded now and not on first use: a model of another shape is found before a run begins.
        open_session(self._plan)

    @cached_property
    def version(self) -> str:
        features = self._features
        described = (
            {"descriptors": list(features.descriptors)}
            if features.kind == "descriptors"
            else {"radius": features.radius, "bits": features.bits, "chirality": features.chirality}
        )
        output = {"output": self.output, "column": self.column}
        return sha256_of({"kind": self.kind, "model": self._sha256, "features": features.kind, **described, **output})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        started = time.perf_counter()
        session, features = open_session(self._plan), self._features
        rows, failed = [], dict[int, str]()
        with rdBase.BlockLogs():
            for position, smiles in enumerate(molecules):
                molecule = parse_smiles(smiles)
                try:
                    if molecule is None:
                        raise ValueError(f"{smiles!r} is no molecule")
                    rows.append(features.of(molecule))
                except Exception as error:
                    failed[position] = str(error) or type(error).__name__
                    rows.append(np.zeros(features.size))
        values = _values(session, np.array(rows, np.float64).reshape(len(rows), features.size), failed)
        seconds = (time.perf_counter() - started) / max(1, len(molecules))
        return [
            RawScore(None, failed[position], seconds) if position in failed else RawScore.of(value, seconds)
            for position, value in enumerate(values.tolist())
        ]

    @cached_property
    def _sha256(self) -> str:
        return model_sha256(Path(self.model))

    @property
    def _plan(self) -> OnnxPlan:
        return OnnxPlan(self.model, self._sha256, self._features.size, self.output, self.column)

    @property
    def _features(self) -> Features:
        return Features(self.features, self.radius, self.bits, self.chirality, tuple(self.descriptors))


def _values(session: OnnxSession, rows: NDArray[np.float64], failed: dict[int, str]) -> NDArray[np.float64]:
    """Return the values [n] of rows [n, features]; add the error of a row that the model fails at to ``failed``."""
    try:
        return session.values(rows)
    except ScoringConfigurationError:
        raise
    except Exception:  # onnxruntime's errors have no class of their own
        values = np.full(len(rows), np.nan)
        for position, row in enumerate(rows):
            try:
                values[position] = session.values(row[None])[0]
            except Exception as error:
                failed.setdefault(position, f"the model fails at it: {error}")
        return values
