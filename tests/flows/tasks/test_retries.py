"""What can pass is tried again, and nothing else."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.build_buffer import build
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks import made_here, workers
from molbuffer.flows.tasks.attempts import Attempt
from molbuffer.flows.tasks.build_request import BuildRequest
from molbuffer.flows.tasks.building import build_buffer_task
from molbuffer.flows.tasks.parts import make_part
from molbuffer.flows.tasks.prefect_workers import make_part_task, score_task
from molbuffer.flows.tasks.retries import RETRIES, RETRY_DELAY_SECONDS, can_pass, tried_again
from molbuffer.flows.work import run_build
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.errors import DivergedPolicyError, PolicyFormatError
from molbuffer.scoring.errors import ScoringConfigurationError, WorkerError
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import (
    ArraysError,
    CatalogUnavailableError,
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreWriteError,
    UnknownRunError,
)

UNREACHABLE = OSError("s3://bucket/lab cannot be reached")
FULL = OSError(errno.ENOSPC, "No space left on device")


def because(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        StoreBusyError("locked"),
        CatalogUnavailableError("the catalog failed"),
        UNREACHABLE,
        ConnectionResetError("by peer"),
        TimeoutError("no answer"),
        OSError(errno.EIO, "Input/output error"),
        because(StoreWriteError("nothing is visible"), UNREACHABLE),
        because(ArraysError("cannot be read"), UNREACHABLE),
        because(PolicyFormatError("cannot be read"), OSError(errno.ESTALE, "Stale file handle")),
    ],
    ids=repr,
)
def test_what_can_pass(error: Exception) -> None:
    assert can_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        FileNotFoundError("an object that is not there has no number"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EROFS, "Read-only file system"),
        because(StoreWriteError("nothing is visible"), FULL),
        because(ArraysError("a segment is missing"), FileNotFoundError("gone")),
        because(ScoringConfigurationError("no module"), ImportError("no module named docking")),
        because(ValueError("of a scorer"), UNREACHABLE),
        StoreError("of no kind that is known to pass"),
        StoreFormatError("newer"),
        StoreWriteError("disk is full"),
        UnknownRunError("none"),
        DivergedPolicyError("no probabilities"),
        WorkerError("again and again"),
        ModuleNotFoundError("docking"),
        TypeError("a bug"),
        RuntimeError("unknown"),
        None,
    ],
    ids=repr,
)
def test_what_cannot_pass(error: Exception | None) -> None:
    assert not can_pass(error)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Exception]]:
    """Has the first builds fail with these errors; what it returns is emptied as they are raised."""

    def fail(*errors: Exception) -> list[Exception]:
        left = list(errors)

        def fail_or_build(*given: object) -> object:
            if left:
                raise left.pop(0)
            return make_build(*given)

        monkeypatch.setattr("molbuffer.lab.building.make_build", fail_or_build)
        return left

    return fail


def without_prefect(config: str, store: str) -> dict[str, Any]:
    return run_build(config, store, made_here)


HOW = [pytest.param(build, id="by Prefect"), pytest.param(without_prefect, id="without")]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("how", HOW)
def test_a_chunk_is_tried_again_after_an_error_that_can_pass(
    how: Callable[..., Any], tiny_settings: Settings, tmp_path: Path, failing: Callable[..., list[Exception]]
) -> None:
    left = failing(StoreBusyError("locked"), UNREACHABLE)
    result = how(tiny_settings.to_json(), str(tmp_path / "store"))
    assert left == []
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        (attempt,) = store.query("SELECT attempt_id FROM builds")["attempt_id"]
    assert (len(result["builds"]), attempt.rpartition("/")[2]) == (1, "3")


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("how", HOW)
def test_a_chunk_is_tried_once_when_the_error_would_be_the_same(
    how: Callable[..., Any], tiny_settings: Settings, tmp_path: Path, failing: Callable[..., list[Exception]]
) -> None:
    left = failing(ScoringConfigurationError("no component"), RuntimeError("a second attempt"))
    with pytest.raises(ScoringConfigurationError, match="no component"):
        how(tiny_settings.to_json(), str(tmp_path / "store"))
    assert len(left) == 1
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        assert store.query("SELECT build_id FROM builds").is_empty()


def test_the_chunk_of_a_worker_is_tried_again(
    tiny_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    left: list[Exception] = [StoreBusyError("locked"), UNREACHABLE]

    def fail_or_make(request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
        if left:
            raise left.pop(0)
        return make_part(request, attempt)

    monkeypatch.setattr(workers, "make_part", fail_or_make)
    runner = tiny_settings.runner.model_copy(update={"workers": 2})
    result = without_prefect(tiny_settings.model_copy(update={"runner": runner}).to_json(), str(tmp_path / "store"))
    assert left == []
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        assert store.query("SELECT attempt_id FROM builds").rows() == [(f"{result['run_id']}/3",)]
    said = [record.getMessage() for record in caplog.records if "is tried again" in record.getMessage()]
    assert said[0] == (
        "chunk 0 of sampler 0 in iteration 0 failed, and is tried again in 1 s (1 of 2): StoreBusyError: locked"
    )
    assert len(said) == RETRIES


def test_there_are_as_many_attempts_as_a_task_has_with_the_same_wait_before_each() -> None:
    numbers, waited = [], []

    def attempt(number: int) -> None:
        numbers.append(number)
        raise StoreBusyError(f"locked, time {number}")

    with pytest.raises(StoreBusyError, match="time 3"):
        tried_again(attempt, "a chunk", wait=waited.append)
    assert (numbers, waited) == ([1, 2, 3], [build_buffer_task.retry_delay_seconds] * build_buffer_task.retries)
    for other in (make_part_task, score_task):
        assert (other.retries, other.retry_delay_seconds) == (RETRIES, RETRY_DELAY_SECONDS)


def test_nothing_is_tried_again_once_the_run_has_ended() -> None:
    numbers: list[int] = []

    def attempt(number: int) -> None:
        numbers.append(number)
        raise StoreBusyError("locked")

    with pytest.raises(StoreBusyError):
        tried_again(attempt, "a chunk", wait=lambda _: True)
    assert numbers == [1]


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), SystemExit(143)], ids=repr)
def test_what_a_signal_has_ended_is_not_tried_again(signal: BaseException) -> None:
    """DuckDB makes an error of its own of what the handler of a signal raises within it."""
    of_the_library = RuntimeError("Query interrupted")
    of_the_library.__context__ = signal
    assert can_pass(CatalogUnavailableError("the catalog failed"))
    assert not can_pass(because(CatalogUnavailableError("the catalog failed"), of_the_library))
