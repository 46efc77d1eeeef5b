"""The component of a Chemprop model, or of an ensemble of them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, get_args

from molbuffer.kinds import FolderName, NotNegative, Text, Typed, checked
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.models import chemprop_call
from molbuffer.scoring.components.models.chemprop_call import ChempropPlan, Statistic
from molbuffer.scoring.components.models.model_files import model_sha256
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, check_extra, unknown_name
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.workers import Isolation, NoAnswer, WorkerDiedError, run_apart


@checked
@dataclass(frozen=True)
class ChempropModel:
    """The prediction of a model of Chemprop 2 for a molecule: Heid et al., J. Chem. Inf. Model. 64:9 (2024).

    Unless the predictions are in [0, 1], as those of a classification are, the component needs a transform. The models
    run in a process of their own, on the CPU. A file is read without running code that it may contain.

    Attributes:
        model: a .pt file that chemprop train writes, or a folder with the .pt files of an ensemble, also in subfolders.
        statistic: for an ensemble, the mean of the predictions or their standard deviation.
        output: the name of the task; it may be left out if the model has one task.
        column: the position of the task, from 0, instead of its name.
        name: the component's name in the history; by default ``chemprop:``, the name of the file or folder, and
            ``:std`` for the standard deviation.

    Example:
        >>> logp = mb.ChempropModel("examples/models/logp.pt")
        >>> logp.values(["CCCCCCCC"])[0].value > logp.values(["CO"])[0].value
        True
    """

    model: Annotated[str, Typed(Text), FolderName()]
    statistic: Statistic = "mean"
    output: str = ""
    column: Annotated[int | None, Typed(NotNegative | None)] = None
    name: str = ""

    kind: ClassVar[str] = "chemprop"
    cost: ClassVar[Cost] = "low"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_extra("a component of kind chemprop", "chemprop", "chemprop")
        if self.statistic not in get_args(Statistic):
            raise unknown_name("statistic", str(self.statistic), get_args(Statistic))
        if self.output and self.column is not None:
            raise ScoringConfigurationError(f"a task has a name or a column, got {self.output!r} and {self.column}")
        if self.column is not None and self.column < 0:
            raise ScoringConfigurationError(f"column counts from 0, got {self.column}")
        object.__setattr__(self, "model", str(Path(self.model).absolute()))
        suffix = "" if self.statistic == "mean" else f":{self.statistic}"
        object.__setattr__(self, "name", self.name or f"{self.kind}:{Path(self.model).stem}{suffix}")
        if self.statistic == "std" and len(self._files) == 1:
            raise ScoringConfigurationError(
                f"statistic 'std' is that of an ensemble and needs several models, got {self._files[0][0]} alone"
            )
        # Hashed and loaded now and not on first use: a file of another kind is found before a run begins.
        _check_plan(self._plan)

    @cached_property
    def version(self) -> str:
        return sha256_of(
            {
                "kind": self.kind,
                "models": sorted(sha256 for _, sha256 in self._files),
                "statistic": self.statistic,
                "output": self.output,
                "column": self.column,
                "packages": {"chemprop": importlib.metadata.version("chemprop")},
            }
        )

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        found = dict(self.stream(dict.fromkeys(molecules)))
        return [found[smiles] for smiles in molecules]

    def stream(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each canonical SMILES with its score, a batch at a time."""
        for smiles, found in run_apart(chemprop_call.predict, molecules, (self._plan,), _ISOLATION):
            yield smiles, RawScore(None, found.reason, lost=not found.final) if isinstance(found, NoAnswer) else found

    @property
    def _plan(self) -> ChempropPlan:
        return ChempropPlan(self._files, self.output, self.column, self.statistic)

    @cached_property
    def _files(self) -> tuple[tuple[str, str], ...]:
        """Each model's file with its sha256."""
        place = Path(self.model)
        files = sorted(place.rglob("*.pt")) if place.is_dir() else [place]
        if not files:
            raise ScoringConfigurationError(f"the folder {place} has no .pt file that `chemprop train` writes")
        return tuple((str(file), model_sha256(file)) for file in files)


_ISOLATION = Isolation("chemprop", one_by_one=False)
"""One process has all models: importing Chemprop takes seconds and hundreds of MB."""
_CHECKED: set[ChempropPlan] = set()
"""The models that this process has loaded without an error."""


def _check_plan(plan: ChempropPlan) -> None:
    """Refuse models that cannot be loaded; errors are those of ``chemprop_call.check``."""
    if plan in _CHECKED:
        return
    try:
        answers = [answer for _, answer in run_apart(chemprop_call.check, [plan], (), _ISOLATION)]
    except WorkerDiedError as error:
        raise ScoringConfigurationError(f"cannot load {plan.files[0][0]}: {error}") from error
    if isinstance(answers[0], NoAnswer):
        raise ScoringConfigurationError(f"cannot load {plan.files[0][0]}: {answers[0].reason}")
    _CHECKED.add(plan)
