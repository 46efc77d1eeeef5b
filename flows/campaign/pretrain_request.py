"""The request for a pretraining.

Its class is not in the file of the flow, because Prefect loads that file as a module with another name. This module
does not import torch, so that the flow can set torch's threads first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from molbuffer.training import Columns, PretrainSettings

EVALUATION_DRAWS = 10_000
"""The number of molecules that are drawn at the end to judge a prior."""
DEFAULT_MODEL = "gru"
DEFAULT_GRAMMAR = "smiles"


@dataclass(frozen=True)
class PretrainRequest:
    """A request to train a model on a file.

    Attributes:
        smiles_file: a .smi, .txt, .csv or .tsv (each also .gz) or .parquet file.
        store: the folder of the store; made when it does not exist.
        columns: the columns of the molecules, or of the ends of pairs, in a table.
        model: the kind of model, one of ``molbuffer.samplers.models.registry``.
        policy: a bundled policy, a folder, or a sha256 in the store; training starts from its weights, kind, sizes and
            vocabulary. None starts from random weights.
        sizes: the sizes of the model, by the names in its kind; with ``policy``, only ``dropout`` may differ.
        settings: the settings of the training.
        draws: the number of molecules drawn at the end to judge the prior.
        grammar: the notation that a new model learns, "smiles" or "selfies"; a policy keeps its own.
        device: the name of the device to train on.
        loss: options of the model's loss, by the names in ``molbuffer.training.pretraining.objectives``.
    """

    smiles_file: str
    store: str
    columns: Columns = Columns()
    model: str = DEFAULT_MODEL
    policy: str | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    settings: PretrainSettings = PretrainSettings()
    draws: int = EVALUATION_DRAWS
    grammar: str = DEFAULT_GRAMMAR
    device: str = "cpu"
    loss: Mapping[str, float] = field(default_factory=dict)
