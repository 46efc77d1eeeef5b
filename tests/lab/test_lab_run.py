"""A run from Python: recorded by itself, and gone on with from where it was interrupted, failed or finished."""

import signal
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import molbuffer as mb
from molbuffer.kinds import UnknownKindError
from molbuffer.lab.errors import EmptyBuildError, FailedScoresError, RunError
from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.errors import DeviceError
from molbuffer.storage import RunConflictError, StoreModeError, UnknownRunError
from molbuffer.training import FitProgress, ScoredSequences

TRAINING: dict[str, Any] = {
    "batch_size": 8,
    "samplers": {"agent": 0.5},
    "checkpoint_every": 2,
    "loss": mb.Reinvent(sigma=10.0),
    "learner": mb.LearnerSettings(learning_rate=5e-3),
}


def status(lab: mb.Lab, run_id: str) -> str:
    return str(lab.runs().filter(run_id=run_id)["status"].item())


def work(run: mb.LabRun, iterations: int, **more: Any) -> Any:
    """The statements of a notebook."""
    run.build(mb.ModelSampler("agent", run.agent), n=16)
    return run.train(iterations=iterations, **(TRAINING | more))


def test_a_run_builds_trains_and_finishes_by_itself(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with lab.run("notebook", objective=qed, policy=policy, seed=0) as run:
        (receipt,) = run.build(mb.ModelSampler("agent", run.agent), n=16)
        assert run.agent() is policy
        assert status(lab, run.run_id) == "started"
        result = run.train(iterations=3, **TRAINING)
        assert run.agent().sha256 == result.policy_sha256 != policy.sha256
    assert (receipt.kept, result.iterations, result.run_id) == (16, 3, run.run_id)
    assert status(lab, run.run_id) == "finished"
    assert lab.policy(result.policy_sha256).sha256 == result.policy_sha256
    rewards = lab.query("SELECT event, count(reward) FROM sample_history WHERE kept GROUP BY ALL ORDER BY ALL").rows()
    assert rewards == [("build_buffer", 16), ("sample_batch", 12)]
    # The lineage leads from the trained policy to the one that the run was given.
    parents = dict(lab.query("SELECT sha256, parent_sha256 FROM lineage").rows())
    sha256, steps = result.policy_sha256, 0
    while parents[sha256] is not None:
        sha256, steps = parents[sha256], steps + 1
    assert (sha256, steps) == (policy.sha256, 3)


@pytest.mark.parametrize(
    ("error", "ends"), [(RuntimeError("of the user"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_run_that_ends_by_an_error_says_how_to_go_on(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, error: BaseException, ends: str
) -> None:
    with pytest.raises(type(error)) as caught, lab.run("notebook", objective=qed, policy=policy) as run:
        raise error
    assert status(lab, run.run_id) == ends
    assert f"resume={run.run_id!r}" in "".join(caught.value.__notes__)


def stop_at(iteration: int) -> Any:
    def progress(done: FitProgress) -> None:
        if done.iteration == iteration:
            raise KeyboardInterrupt

    return progress


def test_r16_a_run_that_is_gone_on_with_ends_as_one_without_a_stop(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("whole", objective=qed, policy=policy, seed=7) as whole:
        straight = work(whole, 6, selection=mb.ConsumeOnce())
    with pytest.raises(KeyboardInterrupt), lab.run("stopped", objective=qed, policy=policy, seed=7) as run:
        work(run, 6, selection=mb.ConsumeOnce(), own_only=True, progress=stop_at(3))
    assert status(lab, run.run_id) == "interrupted"
    with lab.run("stopped", objective=qed, policy=policy, seed=7, resume=run.run_id[:8]) as again:
        assert (again.resumed, again.run_id) == (True, run.run_id)
        resumed = work(again, 6, selection=mb.ConsumeOnce(), own_only=True)
    assert resumed.policy_sha256 == straight.policy_sha256
    rows = "SELECT iteration, event, row, smiles, reward FROM sample_history WHERE run_id = ? ORDER BY ALL"
    assert lab.query(rows, [run.run_id]).equals(lab.query(rows, [whole.run_id]))


def test_a_finished_run_is_extended_and_a_build_is_not_made_twice(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("short", objective=qed, policy=policy, seed=7) as run:
        work(run, 2)
    with lab.run("short", objective=qed, policy=policy, resume=run.run_id) as again:
        assert again.seed == 7
        work(again, 2)
        longer = work(again, 4, own_only=True)
    assert longer.iterations == 4
    # The second call within the block is the second build of the sampler, after two iterations.
    builds = "SELECT iteration, chunk FROM builds WHERE run_id = ? AND event = 'build_buffer' ORDER BY ALL"
    assert lab.query(builds, [run.run_id]).rows() == [(0, 0), (2, 0)]
    assert lab.query("SELECT max(iteration) FROM metrics WHERE name = 'loss'").item() == 3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 8}, "seed = 7, got 8"),
        ({"objective": mb.Objective([mb.QED(), mb.Similarity("CCO")])}, "objective = "),
        ({"filters": [mb.PropertyRange("molecular_weight", maximum=300)]}, "filters = "),
        ({"policy": "zinc-gru"}, "policy = "),
    ],
)
def test_a_run_goes_on_only_as_it_began(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, changes: dict[str, Any], named: str
) -> None:
    began = {"objective": qed, "policy": policy, "seed": 7}
    with lab.run("one", **began) as run:
        pass
    with pytest.raises(RunConflictError, match=named), lab.run("one", **(began | changes), resume=run.run_id):
        pass
    assert status(lab, run.run_id) == "finished"


def test_what_a_run_cannot_go_on_with_or_write_to_is_said(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with pytest.raises(UnknownRunError), lab.run("one", objective=qed, policy=policy, resume="abc"):
        pass
    reader = mb.open(lab.store.path, read_only=True)
    with pytest.raises(StoreModeError, match="read_only"), reader.run("one", objective=qed, policy=policy):
        pass
    assert len(reader.runs()) == 0
    reader.close()


def test_runs_without_a_seed_differ_and_runs_with_one_do_not(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    for seed in (None, None, 5, 5):
        with lab.run(str(seed), objective=qed, policy=policy, seed=seed) as run:
            run.build(mb.ModelSampler("agent", run.agent), n=16)
    drawn = "SELECT list(raw ORDER BY row) FROM sample_history GROUP BY run_id, run_name ORDER BY run_name"
    fives, others = lab.query(drawn).to_series().to_list()[:2], lab.query(drawn).to_series().to_list()[2:]
    assert fives[0] == fives[1]
    assert others[0] != others[1] != fives[0]


# A signal within os.scandir leaves its iterator open.
@pytest.mark.filterwarnings("ignore:unclosed scandir:ResourceWarning")
# It may come between the opening of a file and the block that closes it.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_at_any_moment_leaves_a_run_that_can_be_gone_on_with(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("whole", objective=qed, policy=policy, seed=3) as whole:
        straight = work(whole, 8, own_only=True)
    run_id: str | None = None
    main = threading.main_thread().ident
    # Whatever another test of this process, or a library that it has loaded, has made of the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for delay in (0.1, 0.3, 0.6):
        error: BaseException | None = None
        for _ in range(3):  # Python drops a signal that comes while a finaliser runs.
            pressed = threading.Timer(delay, signal.pthread_kill, [main, signal.SIGINT])
            try:
                with lab.run("stopped", objective=qed, policy=policy, seed=3, resume=run_id) as run:
                    run_id = run.run_id
                    pressed.start()
                    work(run, 8, own_only=True)
                    pressed.join()
                    time.sleep(0.05)
            # DuckDB, and code that cleans up, raise errors of their own from a signal.
            except BaseException as raised:
                error = raised
                break
        assert error is not None, f"{signal.getsignal(signal.SIGINT)} {Path('/proc/self/status').read_text()}"
        assert error.__notes__
        assert status(lab, run_id) == "interrupted", "".join(traceback.format_exception(error))
    with lab.run("stopped", objective=qed, policy=policy, seed=3, resume=run_id) as run:
        assert work(run, 8, own_only=True).policy_sha256 == straight.policy_sha256
    assert status(lab, run.run_id) == "finished"
    rows = "SELECT iteration, event, row, smiles, reward FROM sample_history WHERE run_id = ? ORDER BY ALL"
    assert lab.query(rows, [run_id]).equals(lab.query(rows, [whole.run_id]))


def test_a_used_up_buffer_is_built_again_with_the_samplers_that_built(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("once", objective=qed, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=16)
        run.build(mb.ModelSampler("cold", lambda: policy), n=8)
        run.train(batch_size=8, iterations=4, selection=mb.ConsumeOnce(), own_only=True)
    builds = lab.query("SELECT iteration, sampler, kept FROM builds ORDER BY iteration, sampler").rows()
    assert builds == [(0, "agent", 16), (0, "cold", 8), (3, "agent", 16), (3, "cold", 8)]


def test_a_scheduled_build_of_an_iteration_is_the_one_that_was_made(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("scheduled", objective=qed, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.train(batch_size=8, iterations=3, build_every=2)
    builds = lab.query("SELECT iteration, kept FROM builds ORDER BY ALL").rows()
    assert builds == [(0, 8), (2, 8)]


def test_a_file_is_gone_through_once_across_builds_and_batches(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, tmp_path: Path
) -> None:
    chains = ["C" * n for n in range(1, 9)] + ["N" + "C" * n for n in range(1, 9)]
    (tmp_path / "chains.smi").write_text("\n".join(chains))
    with lab.run("file", objective=qed, policy=policy, seed=1) as run:
        run.build(mb.DatasetSampler("file", tmp_path / "chains.smi", run.vocabulary), n=6)
        run.build(mb.DatasetSampler("file", tmp_path / "chains.smi", run.vocabulary), n=2)
        run.train(batch_size=4, iterations=2, samplers={"file": 1.0})
    drawn = lab.query("SELECT raw FROM sample_history").to_series().to_list()
    assert sorted(drawn) == sorted(chains)


class Alternating(mb.Sampler):
    """A sampler of a user: no dataclass of ours, no model."""

    kind: ClassVar[str] = "alternating"

    def __init__(self, name: str, vocabulary: Any) -> None:
        self.name, self.size, self.vocabulary = name, mb.SamplerSize(), vocabulary

    def draw(self, n: int, seed: int) -> mb.Draw:
        first = int(np.random.default_rng(seed).integers(2))
        texts = [("CCO", "CCN")[(first + row) % 2] for row in range(n)]
        return mb.Draw(texts, encode_rows(texts, self.vocabulary))


def test_samplers_losses_and_policies_of_a_user_take_part(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    seen: list[int] = []

    def loss(rows: ScoredSequences) -> torch.Tensor:
        seen.append(len(rows.rewards))
        return -(rows.agent.sum(1) * rows.rewards).mean()

    with lab.run("own", objective=qed, policy=policy, seed=1) as run:
        run.build(Alternating("mine", run.vocabulary), n=8)
        history = mb.HistorySampler("best", run.stored_rows(where="reward > 0.1"), run.vocabulary, selection=mb.TopK(2))
        live = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=0.5))
        again = mb.HistorySampler("best", history.history, run.vocabulary, size=mb.SamplerSize(p_batch=0.25))
        run.train(batch_size=8, iterations=3, samplers=[live, again], loss=loss)
        run.train(batch_size=8, iterations=4, samplers=[live], loss=mb.Reinvent(sigma=20.0))
    assert seen == [8] * 3
    shares = lab.query("SELECT DISTINCT name FROM metrics WHERE name LIKE 'share_%'").to_series().to_list()
    assert set(shares) == {"share_agent", "share_best", "share_buffer"}


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"samplers": {"nobody": 0.5}}, "nobody.*that have built are: agent"),
        ({"loss": "unheard-of"}, "expected one of: .*reinvent"),
    ],
)
def test_a_name_that_nobody_has_is_said(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, training: dict[str, Any], said: str
) -> None:
    with (
        pytest.raises((ValueError, UnknownKindError), match=said),
        lab.run("wrong", objective=qed, policy=policy) as run,
    ):
        work(run, 2, **training)
    assert status(lab, run.run_id) == "failed"


def test_a_run_whose_scores_fail_or_that_keeps_nothing_ends(lab: mb.Lab, policy: mb.Policy, write_scorer: Any) -> None:
    name = write_scorer("def score(smiles):\n    raise ValueError('no licence')\n")
    broken = mb.Objective([mb.PythonFunction(f"{name}:score", in_process=True)])
    with (
        pytest.raises(FailedScoresError, match="no licence"),
        lab.run("broken", objective=broken, policy=policy) as run,
    ):
        run.build(mb.ModelSampler("agent", run.agent), n=24)
    assert status(lab, run.run_id) == "failed"
    heavy = [mb.PropertyRange("molecular_weight", minimum=5000)]
    qed = mb.Objective([mb.QED()])
    with (
        pytest.raises(EmptyBuildError, match="molecular_weight"),
        lab.run("empty", objective=qed, policy=policy, filters=heavy) as run,
    ):
        run.build(mb.ModelSampler("agent", run.agent), n=4)


def test_long_calls_tell_how_far_they_are(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    from molbuffer.lab import building, front_door, molecules

    for module, name in ((building, "CHUNK_ROWS"), (front_door, "SCORED_TOGETHER"), (molecules, "ROWS_AT_ONCE")):
        monkeypatch.setattr(module, name, 8)
    told: dict[str, list[Any]] = {name: [] for name in ("build", "train", "offline", "sample", "score")}

    def rows(name: str) -> Any:
        return lambda done, total: told[name].append((done, total))

    def steps(name: str) -> Any:
        return lambda done: told[name].append((done.iteration, done.iterations))

    with lab.run("told", objective=qed, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=20, progress=rows("build"))
        run.train(batch_size=8, iterations=2, progress=steps("train"))
    lab.offline("told", objective=qed, policy=policy, steps=2, batch_size=8, progress=steps("offline"))
    drawn: Sequence[str] = lab.sample(policy, 20, progress=rows("sample"))["smiles"].to_list()
    lab.score(drawn, qed, progress=rows("score"))
    portions = [(8, 20), (16, 20), (20, 20)]
    assert told == {
        "build": portions,
        "train": [(1, 2), (2, 2)],
        "offline": [(1, 2), (2, 2)],
        "sample": portions,
        "score": portions,
    }


def test_a_run_whose_block_has_ended_takes_nothing_more(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with lab.run("ended", objective=qed, policy=policy, seed=0) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=4)
    with pytest.raises(RunError, match=run.run_id):
        run.build(mb.ModelSampler("late", run.agent), n=4)
    with pytest.raises(RunError, match=run.run_id):
        run.train(batch_size=4, iterations=1, samplers={"agent": 1.0})


def test_a_selection_may_be_named_and_a_device_that_is_not_there_is_refused(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("named", objective=qed, policy=policy, seed=0) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        result = run.train(batch_size=4, iterations=1, selection="uniform")
    assert result.iterations == 1
    with pytest.raises(DeviceError), lab.run("device", objective=qed, device="cuda:97"):
        pass
    with pytest.raises(TypeError, match=r"\['CCO'\]"):
        lab.score("CCO", qed)
