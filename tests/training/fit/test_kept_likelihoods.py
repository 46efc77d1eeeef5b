"""The prior's likelihoods in the cache folder: used again, bounded, and never those of another prior."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molbuffer.samplers import Policy
from molbuffer.samplers.models import UNCONDITIONED, GRUArchitecture, GRULanguageModel
from molbuffer.storage import LOCATION_VARIABLE
from molbuffer.training.batches import TrainingBatch
from molbuffer.training.fit import prior_likelihoods
from molbuffer.training.fit.kept_likelihoods import MOST_FILES, KeptLikelihoods, Portion, Values
from molbuffer.training.fit.prior_likelihoods import PriorLikelihoods


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept; the machine is taken for one on which rows are independent."""
    monkeypatch.setenv(LOCATION_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(prior_likelihoods, "rows_are_independent", lambda model, n: True)
    return tmp_path / "cache"


@pytest.fixture
def batch(chain_policy: Policy) -> TrainingBatch:
    drawn = chain_policy.model.sample(20, generator=torch.Generator().manual_seed(2))
    return TrainingBatch(0, {"tokens": drawn.tokens, "lengths": drawn.lengths}, ["agent"] * 20)


def sequences(*names: int) -> dict[bytes, Values]:
    """Values of sequences of different length."""
    return {np.full(1 + name, name, np.int32).tobytes(): np.full(1 + name, -name, np.float32) for name in names}


def test_a_second_training_computes_nothing_of_the_rows_of_the_first(
    chain_policy: Policy, batch: TrainingBatch
) -> None:
    first = PriorLikelihoods.of(chain_policy)
    expected = first(batch, UNCONDITIONED)
    assert first.computed > 0
    first.keep()
    second = PriorLikelihoods.of(chain_policy)
    assert torch.equal(second(batch, UNCONDITIONED), expected)
    assert second.computed == 0


def test_what_is_kept_of_another_prior_is_not_used(chain_policy: Policy, batch: TrainingBatch, cache: Path) -> None:
    first = PriorLikelihoods.of(chain_policy)
    first(batch, UNCONDITIONED)
    first.keep()
    torch.manual_seed(1)
    model = GRULanguageModel(GRUArchitecture(len(chain_policy.vocabulary), 16, 32, 2, max_length=10)).eval()
    # A policy under the name of another, even.
    other = PriorLikelihoods.of(Policy(model, chain_policy.vocabulary, chain_policy.sha256))
    other(batch, UNCONDITIONED)
    assert other.computed == first.computed
    other.keep()
    assert len(list((cache / "likelihoods").iterdir())) == 2


def test_nothing_is_kept_where_rows_depend_on_each_other(
    chain_policy: Policy, batch: TrainingBatch, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_likelihoods, "rows_are_independent", lambda model, n: False)
    first = PriorLikelihoods.of(chain_policy)
    first(batch, UNCONDITIONED)
    first.keep()
    assert not cache.exists()


def test_a_damaged_file_is_computed_again(
    chain_policy: Policy, batch: TrainingBatch, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = PriorLikelihoods.of(chain_policy)
    expected = first(batch, UNCONDITIONED)
    first.keep()
    (file,) = cache.rglob("*.bin")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    second = PriorLikelihoods.of(chain_policy)
    assert torch.equal(second(batch, UNCONDITIONED), expected)
    assert second.computed == first.computed
    assert "damaged" in caplog.text and not file.exists()


@pytest.mark.parametrize("kept", [{}, sequences(0), sequences(*range(30))])
def test_a_file_has_what_was_put_into_it(kept: dict[bytes, Values]) -> None:
    content = Portion.of(kept).to_bytes()
    found = Portion.from_bytes(content)
    assert found is not None
    assert {key: values.tolist() for key, values in found.items().items()} == {
        key: values.tolist() for key, values in kept.items()
    }
    for key in kept:
        values = found.get(key)
        assert values is not None and np.array_equal(values, kept[key])
    assert found.get(np.full(99, 7, np.int32).tobytes()) is None
    for damaged in (b"", content[:-1], content + b"x", bytes([content[0] ^ 1]) + content[1:]):
        assert Portion.from_bytes(damaged) is None


def test_many_files_become_one_and_the_oldest_values_go_first(tmp_path: Path) -> None:
    kept = KeptLikelihoods(tmp_path / "likelihoods" / "prior")
    for name in range(MOST_FILES + 1):
        kept.add(sequences(name))
        kept.add(sequences(name))  # known, and not written again
    (file,) = kept.folder.iterdir()
    assert all(kept.get(key) is not None for key in sequences(*range(MOST_FILES + 1)))
    small = KeptLikelihoods(kept.folder, most_bytes=file.stat().st_size + 100)
    small.add(sequences(50))
    assert small.get(next(iter(sequences(50)))) is not None
    assert small.get(next(iter(sequences(0)))) is None
    assert not file.exists()


def test_a_folder_that_cannot_be_written_ends_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    KeptLikelihoods(tmp_path / "file" / "prior").add(sequences(1))
    assert "could not be kept" in caplog.text


def test_an_offline_training_keeps_them_for_the_next(lab: Any, cache: Path) -> None:
    lab.adapted(iterations=2).start().fit()
    shutil.rmtree(cache)
    computed = []
    for run_id in ("first", "second"):
        training = lab.adapted(iterations=2, run_id=run_id).start_offline()
        training.fit()
        computed.append(training.learner._prior_likelihoods.computed)
    assert computed[0] > 0
    assert computed[1] == 0


def test_what_is_kept_in_one_precision_is_not_used_in_another(chain_policy: Policy, batch: TrainingBatch) -> None:
    first = PriorLikelihoods.of(chain_policy)
    expected = first(batch, UNCONDITIONED)
    first.keep()
    lowered = PriorLikelihoods.of(chain_policy, "bfloat16")
    assert not torch.equal(lowered(batch, UNCONDITIONED), expected)
    assert lowered.computed == first.computed
    mixed = PriorLikelihoods.of(chain_policy, "mixed")  # whose values are those of float32
    assert torch.equal(mixed(batch, UNCONDITIONED), expected)
    assert mixed.computed == 0
