import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Run, RunKind
from molbuffer.training.checkpoint import RunCheckpoints


@pytest.fixture
def checkpoints(store: SampleStore) -> RunCheckpoints:
    """Those of a pretraining that was started and has none yet."""
    store.start_run(Run("run", "run", RunKind.PRETRAIN, "{}", 0))
    return RunCheckpoints(store, "run")
