"""The table ``[logging]``: where the metrics and the best molecules of a run are shown while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from molbuffer.exchange import (
    LOGGERS,
    PICTURES_EVERY,
    ExchangeError,
    MLflow,
    RunLogger,
    TensorBoard,
    check_logger,
)
from molbuffer.flows.settings.base import Section
from molbuffer.flows.settings.problems import Problem
from molbuffer.flows.settings.toml_lines import KeyPath
from molbuffer.kinds import FolderName, KindTable, NotNegative, OneOf, Text


class LoggingSettings(Section):
    """The loggers, which show what the run has committed; an error of a logger does not end the run."""

    tensorboard: Annotated[Text, FolderName()] | None = None
    """A folder for TensorBoard, in which each run has a folder of its own."""

    mlflow: Text | None = None
    """The tracking server of MLflow, such as "http://localhost:5000", or a database, such as "sqlite:///mlflow.db". The
    experiment has the name of the campaign."""

    others: Annotated[tuple[Annotated[KindTable, OneOf(LOGGERS)], ...], Field(strict=False)] = ()
    """Further loggers, each a table of a kind: those of other packages, and TensorBoard and MLflow with all keys."""

    pictures_every: NotNegative = PICTURES_EVERY
    """The least number of iterations between two pictures of the best molecules; 0 makes none."""

    @property
    def loggers(self) -> list[RunLogger]:
        """All configured loggers."""
        return [logger for _, logger in self._with_keys()]

    def problems(self, path: KeyPath) -> Iterator[Problem]:
        """Yield a problem for each logger that cannot work on this machine, at the key of the logger."""
        for key, logger in self._with_keys():
            try:
                check_logger(logger)
            except ExchangeError as error:
                yield Problem((*path, *key), str(error))

    def _with_keys(self) -> Iterator[tuple[KeyPath, RunLogger]]:
        if self.tensorboard is not None:
            yield ("tensorboard",), TensorBoard(self.tensorboard)
        if self.mlflow is not None:
            yield ("mlflow",), MLflow(self.mlflow)
        for number, table in enumerate(self.others):
            yield ("others", number), table.build()
