"""R17: batches of stored rows are the same for any number of workers and any prefetch, each once, and again."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import ConsumeOnce, Prioritized, SampleStore, Selection, TopK, Uniform
from molbuffer.storage.records import Build, Commit, Event, Reward, Run, RunKind, Samples
from molbuffer.storage.rows import Rows
from molbuffer.training import BatchPlan, Buffer, BufferView, MixedLoader, StoredBatches, TrainingBatch
from molbuffer.training.errors import BatchShortError, LoaderUseError, TrainingError

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
OBJECTIVE = "objective"
VIEW = BufferView(OBJECTIVE)


def fill(store: SampleStore, iteration: int) -> None:
    """Commit a build of 20 chains, each with a reward of its own."""
    smiles = ["C" * (1 + row % 7) + "NO"[iteration % 2] * (row // 7) for row in range(20)]
    tokens, lengths = CHAINS.encode_many(smiles)
    rows = Rows(
        tokens=tokens,
        lengths=lengths,
        log_probs=np.zeros(tokens.shape, np.float32),
        vocabulary_sha256=CHAINS.sha256,
    )
    build = Build(
        "run",
        iteration,
        Event.BUILD_BUFFER,
        "live",
        "model",
        Samples(smiles, smiles, [None] * 20, rows),
        objective_sha256=OBJECTIVE,
        rewards=[Reward(row, OBJECTIVE, (row + 20 * iteration) / 100) for row in range(20)],
    )
    store.commit(Commit([build]))


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStore]:
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patched:
        # Workers inherit it.
        patched.setenv("MOLBUFFER_CACHE", str(folder / "cache"))
        with SampleStore.open(shutil.copytree(empty_store, folder / "store")) as store:
            store.start_run(Run("run", "run", RunKind.TRAIN, "{}", 0, objective_sha256=OBJECTIVE))
            fill(store, 0)
            fill(store, 1)
            yield store


def batches_of(store: SampleStore, selection: Selection = Uniform(), **more: Any) -> StoredBatches:
    return StoredBatches(store, VIEW, selection, CHAINS, **({"batch_size": 8, "seed": 5} | more))


def offline_loader(store: SampleStore, selection: Selection, iterations: int) -> MixedLoader:
    return MixedLoader(BatchPlan(8, iterations, seed=5), Buffer(store, VIEW, selection, CHAINS))


def numbers(batches: Sequence[TrainingBatch]) -> list[Any]:
    return [(batch.iteration, batch.tokens.tolist(), batch.rewards.tolist()) for batch in batches]


@pytest.mark.parametrize("selection", [Uniform(), TopK(9), Prioritized(), ConsumeOnce(2)], ids=repr)
def test_a_batch_is_that_of_an_offline_training(filled: SampleStore, selection: Selection) -> None:
    batches = batches_of(filled, selection, batches=4)
    loader = offline_loader(filled, selection, 4)
    assert numbers(list(batches)) == numbers([mixed.batch for mixed in loader])
    # In any order, too: what was delivered before is counted again.
    assert numbers([batches[number] for number in (3, 1, 2)]) == numbers([list(batches)[n] for n in (3, 1, 2)])


def test_r17_workers_give_the_batches_of_one_process_in_order(filled: SampleStore) -> None:
    alone = numbers(list(batches_of(filled, ConsumeOnce(2))))
    assert len(alone) > 4
    batches = batches_of(filled, ConsumeOnce(2))
    assert numbers(list(batches.loader())) == alone
    loader = batches.loader(num_workers=2, prefetch_factor=3, persistent_workers=True)
    assert numbers(list(loader)) == alone
    assert numbers(list(loader)) == alone


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
def test_an_interrupted_pass_goes_on_with_torchdata(filled: SampleStore) -> None:
    def loader() -> StatefulDataLoader:
        return StatefulDataLoader(
            batches_of(filled, batches=6), batch_size=None, num_workers=1, multiprocessing_context="spawn"
        )

    first, given = loader(), []
    for batch in first:
        given.append(batch)
        if len(given) == 3:
            break
    state = first.state_dict()
    del first
    second = loader()
    second.load_state_dict(state)
    assert numbers([*given, *second]) == numbers(list(batches_of(filled, batches=6)))


def test_a_state_is_a_number_and_a_snapshot(filled: SampleStore) -> None:
    batches = batches_of(filled, batches=5)
    whole = numbers(list(batches))
    seen = batches[1]
    state = json.loads(json.dumps({**batches.state_dict(), "position": seen.iteration + 1}))
    other = batches_of(filled, batches=5)
    other.load_state_dict(state)
    assert numbers(list(other)) == whole[2:]
    assert numbers(list(batches_of(filled, batches=5, start=2))) == whole[2:]
    with pytest.raises(IndexError):
        other[3]


def test_a_state_of_others_or_none_is_refused(filled: SampleStore) -> None:
    batches = batches_of(filled, batches=5)
    state = batches.state_dict()
    malformed: list[Any] = [{"pos": 1}, {}, 3, None, {"position": 1, "snapshot": 1}, {**state, "more": 1}]
    for wrong in malformed:
        with pytest.raises(LoaderUseError, match="expected a state with position, snapshot, store"):
            batches.load_state_dict(wrong)
    others = {"store": "0" * 32, "objective": "f" * 64, "seed": 99, "batch_size": 1, "selection": None, "where": "true"}
    for name, value in others.items():
        with pytest.raises(LoaderUseError, match=f"{name} = .* but this dataset has"):
            batches.load_state_dict({**state, name: value})
    for name in ("position", "snapshot"):
        for value in (-1, "1", 1.5, True):
            with pytest.raises(LoaderUseError, match=f"{name} of a state: expected a whole number"):
                batches.load_state_dict({**state, name: value})
    assert batches.state_dict() == state


def test_a_loader_that_would_put_batches_together_is_told_how_to(filled: SampleStore) -> None:
    with pytest.raises(LoaderUseError, match="batch_size=None"):
        next(iter(DataLoader(batches_of(filled, batches=5))))


def test_rows_of_a_later_commit_are_not_in_a_pinned_dataset(store: SampleStore) -> None:
    store.start_run(Run("run", "run", RunKind.TRAIN, "{}", 0, objective_sha256=OBJECTIVE))
    fill(store, 0)
    batches = batches_of(store)
    before = numbers(list(batches))
    fill(store, 1)
    assert numbers(list(batches)) == before
    newer = batches_of(store)
    assert len(newer) > len(batches)
    newer.load_state_dict(batches.state_dict())
    assert numbers([newer[0]]) == before[:1]


class OfTheMoment(Uniform):
    """A selection whose priorities change while a training runs."""

    at_consumption = True


def in_workers(dataset: Any, context: str = "spawn") -> list[Any]:
    return list(DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=context))


def test_r17_what_must_be_drawn_at_consumption_is_refused_in_workers(filled: SampleStore) -> None:
    assert len(list(batches_of(filled, OfTheMoment()).loader())) > 1
    with pytest.raises(LoaderUseError, match="num_workers=0"):
        in_workers(batches_of(filled, OfTheMoment()))


def test_r17_a_mixed_loader_is_refused_in_workers_and_given_once(filled: SampleStore) -> None:
    loader = offline_loader(filled, Uniform(), 2)
    for context in ("spawn", "fork"):
        with pytest.raises(TrainingError, match="StoredBatches"):
            in_workers(loader, context)
    assert len(list(DataLoader(loader, batch_size=None))) == 2
    with pytest.raises(LoaderUseError, match="load_state_dict"):
        list(loader)
    loader.load_state_dict({**loader.state_dict(), "iteration": 1})
    assert [mixed.batch.iteration for mixed in loader] == [1]


def test_a_forked_worker_is_told_to_be_spawned(filled: SampleStore) -> None:
    with pytest.raises(LoaderUseError, match="spawn"):
        in_workers(batches_of(filled), "fork")


def test_a_dataset_that_is_too_small_says_what_there_is(filled: SampleStore) -> None:
    with pytest.raises(BatchShortError, match="40 of 40"):
        batches_of(filled, batch_size=41)
    with pytest.raises(BatchShortError, match="ask for less"):
        batches_of(filled, ConsumeOnce(), batches=6)
    with pytest.raises(LoaderUseError, match="run"):
        StoredBatches(filled, BufferView(OBJECTIVE, run_id="run"), Uniform(), CHAINS, batch_size=1)
