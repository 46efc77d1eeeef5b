"""What can pass is tried again, and nothing else."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from molbuffer.flows.build_buffer import build
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.retries import can_pass
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


@pytest.mark.usefixtures("prefect_server")
def test_a_chunk_is_tried_again_after_an_error_that_can_pass(
    tiny_settings: Settings, tmp_path: Path, failing: Callable[..., list[Exception]]
) -> None:
    left = failing(StoreBusyError("locked"), UNREACHABLE)
    result = build(tiny_settings.to_json(), str(tmp_path / "store"))
    assert left == []
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        (attempt,) = store.query("SELECT attempt_id FROM builds")["attempt_id"]
    assert (len(result["builds"]), attempt.rpartition("/")[2]) == (1, "3")


@pytest.mark.usefixtures("prefect_server")
def test_a_chunk_is_tried_once_when_the_error_would_be_the_same(
    tiny_settings: Settings, tmp_path: Path, failing: Callable[..., list[Exception]]
) -> None:
    left = failing(ScoringConfigurationError("no component"), RuntimeError("a second attempt"))
    with pytest.raises(ScoringConfigurationError, match="no component"):
        build(tiny_settings.to_json(), str(tmp_path / "store"))
    assert len(left) == 1
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        assert store.query("SELECT build_id FROM builds").is_empty()
