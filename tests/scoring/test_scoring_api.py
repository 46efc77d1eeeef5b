import pickle

from molbuffer import scoring
from molbuffer.scoring import ScoringConfigurationError, ScoringError, WorkerError, components


def test_the_public_names_are_sorted_and_there() -> None:
    for module in (scoring, components):
        assert list(module.__all__) == sorted(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def test_errors_are_one_tree() -> None:
    assert issubclass(ScoringConfigurationError, ScoringError)
    assert issubclass(ScoringConfigurationError, ValueError)
    assert issubclass(WorkerError, ScoringError)
    assert str(pickle.loads(pickle.dumps(WorkerError("why")))) == "why"
