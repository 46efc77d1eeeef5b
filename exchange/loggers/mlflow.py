"""The logger of MLflow: a run of an experiment on a tracking server, or in a database of one's own.

A run of the store is one run of MLflow, which the logger finds again by the tag ``molbuffer.run_id``. The times of
metrics are those of the commits. The logger asks whether a server answers before it sends anything, so that a log of a
dead server fails within seconds and not after the minutes for which the client retries.
"""

from __future__ import annotations

import calendar
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from molbuffer.exchange.errors import LoggerError, check_extra
from molbuffer.exchange.loggers.base import LoggedRun, LogPicture, LogPoint
from molbuffer.kinds import Text, Typed, checked
from molbuffer.storage import RunStatus, now

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "molbuffer.run_id"
METRICS_TOGETHER = 1000
"""The most metrics that a server accepts in one request."""
PARAMETERS_TOGETHER = 100
LONGEST_VALUE = 500
CLIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""Retries and timeout in seconds of MLflow's client, which by default tries a failing server for five minutes."""
PATIENCE_SECONDS = 5.0
"""How long a server may take to answer a request for its health, in seconds."""
_STATUS = {RunStatus.FINISHED: "FINISHED", RunStatus.FAILED: "FAILED", RunStatus.INTERRUPTED: "KILLED"}


@checked
@dataclass(frozen=True)
class MLflow:
    """Runs of MLflow.

    Attributes:
        uri: the tracking server, such as http://localhost:5000, or a database, such as sqlite:///mlflow.db.
        experiment: the name of the experiment; empty is the name of the run.

    Example:
        >>> mb.MLflow("http://localhost:5000").place
        'http://localhost:5000'
    """

    uri: Annotated[str, Typed(Text)]
    experiment: str = ""

    kind: ClassVar[str] = "mlflow"

    @property
    def place(self) -> str:
        """The address."""
        return self.uri

    def check(self) -> None:
        """Check that the package is installed and that the address is of a server or a database.

        Raises:
            MissingExtraError: the package is not installed.
            LoggerError: the address is a folder, which MLflow no longer writes.
        """
        check_extra("the logger mlflow", "mlflow", "mlflow")
        if "://" not in self.uri or self.uri.startswith("file:"):
            raise LoggerError(
                f"expected the address of an MLflow server or of a database, such as http://localhost:5000 or "
                f"sqlite:///mlflow.db, got {self.uri!r}: MLflow no longer writes folders"
            )

    def open(self, run: LoggedRun) -> MLflowRun:
        self.check()
        # The client reads these settings from the environment only; a value that the user has set stays.
        for name, value in CLIENT.items():
            os.environ.setdefault(name, value)
        with self._as_logger_error():
            return MLflowRun(self, run)

    @contextmanager
    def _as_logger_error(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            raise LoggerError(
                f"MLflow at {self.uri}: {str(error).splitlines()[0] if str(error) else error!r}"
            ) from error


class MLflowRun:
    """The log of a run on a tracking server."""

    def __init__(self, place: MLflow, run: LoggedRun) -> None:
        from mlflow import MlflowClient

        self._place = place
        _reach(place.uri)
        self._client: MlflowClient = MlflowClient(tracking_uri=place.uri)
        self._id = self._found(run) or self._made(run)
        self._client.update_run(self._id, status="RUNNING")

    def last_steps(self) -> Mapping[str, int]:
        with self._place._as_logger_error():
            known = self._client.get_run(self._id).data.metrics
            histories = {key: self._client.get_metric_history(self._id, key) for key in known}
            found = {key: max(each.step for each in history) for key, history in histories.items() if history}
            for file in self._client.list_artifacts(self._id, "best"):
                for each in self._client.list_artifacts(self._id, file.path):
                    if number := re.search(r"step-(\d+)\.png$", each.path):
                        found[file.path] = max(int(number[1]), found.get(file.path, -1))
        return found

    def write(self, points: Sequence[LogPoint], pictures: Sequence[LogPicture]) -> None:
        from mlflow.entities import Metric

        if not points and not pictures:
            return
        _reach(self._place.uri)
        with self._place._as_logger_error():
            metrics = [Metric(each.tag, each.value, _milliseconds(each.created), each.step) for each in points]
            for start in range(0, len(metrics), METRICS_TOGETHER):
                self._client.log_batch(self._id, metrics=metrics[start : start + METRICS_TOGETHER])
            for picture in pictures:
                self._log_file(picture.tag, f"step-{picture.step:08}.png", picture.png)

    def close(self, status: RunStatus | None) -> None:
        if status in _STATUS:
            _reach(self._place.uri)
            with self._place._as_logger_error():
                self._client.set_terminated(self._id, _STATUS[status], _milliseconds(now()))

    def _found(self, run: LoggedRun) -> str | None:
        experiment = self._client.get_experiment_by_name(self._place.experiment or run.name)
        if experiment is None:
            return None
        found = self._client.search_runs([experiment.experiment_id], f"tags.`{RUN_TAG}` = '{run.run_id}'")
        return found[0].info.run_id if found else None

    def _made(self, run: LoggedRun) -> str:
        name = self._place.experiment or run.name
        known = self._client.get_experiment_by_name(name)
        experiment = (
            self._client.create_experiment(name, artifact_location=_artifacts_of(self._place.uri))
            if known is None
            else known.experiment_id
        )
        tags = {RUN_TAG: run.run_id, "molbuffer.kind": run.kind, "molbuffer.code": run.code_version}
        made = self._client.create_run(experiment, _milliseconds(run.created), tags, run_name=run.title)
        self._id = made.info.run_id
        self._log_parameters({"seed": str(run.seed), **run.settings()})
        self._log_file("", "configuration.json", run.config.encode())
        return self._id

    def _log_parameters(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        found = [Param(_key(key), value[:LONGEST_VALUE]) for key, value in values.items()]
        for start in range(0, len(found), PARAMETERS_TOGETHER):
            self._client.log_batch(self._id, params=found[start : start + PARAMETERS_TOGETHER])

    def _log_file(self, folder: str, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="molbuffer-mlflow-") as temporary:
            path = Path(temporary) / name
            path.write_bytes(content)
            self._client.log_artifact(self._id, str(path), folder or None)


def _key(text: str) -> str:
    """Return a key in which characters that MLflow does not accept are underscores."""
    return re.sub(r"[^\w\-./ ]", "_", text)


def _milliseconds(time: datetime) -> int:
    return calendar.timegm(time.timetuple()) * 1000 + time.microsecond // 1000


def _artifacts_of(uri: str) -> str | None:
    """Return the folder of artifacts of a SQLite database, which is beside it; None for a server, which has its own."""
    path = re.fullmatch(r"sqlite:///(.+)", uri)
    return None if path is None else str(Path(path[1]).resolve().with_suffix(".files"))


def _reach(uri: str) -> None:
    """Check that the server answers, if the address is of a server.

    Raises:
        LoggerError: the server does not answer.
    """
    if not uri.startswith(("http://", "https://")):
        return
    import httpx

    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=PATIENCE_SECONDS)
    except httpx.HTTPError as error:
        raise LoggerError(f"MLflow at {uri} does not answer: {error}") from error
