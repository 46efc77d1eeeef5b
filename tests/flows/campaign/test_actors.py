"""Actors and a learner apart: they meet in the store alone, and a kill of either loses no more than what was in flight.

Learner and actors are in one process here: while the learner waits for rows, each actor makes a build if it may. That
is the course that processes take when each is slower than the other in turn, and it needs no time.
"""

import shutil
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from molbuffer.flows.campaign import backlogs_of_runs
from molbuffer.flows.campaign.actor_runs import actor_run, find_learner
from molbuffer.flows.campaign.campaign import campaign_run
from molbuffer.flows.campaign.training import prepare_online
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.work.acting import make_actor
from molbuffer.lab import Actor, BacklogScorer, NoLearnerError, SilentActorsError, run_training
from molbuffer.scoring.components import QED
from molbuffer.storage import Run, RunConflictError, RunKind, RunStatus, SampleStore

LEARNER = "1" * 32
ACTORS = ("a" * 32, "b" * 32)
BATCH, BUILD, ITERATIONS = 16, 24, 4
SCORED_AT_ONCE = BUILD
EACH_WAITS = {f"batch_size = {BATCH}": f"batch_size = {BUILD}", f"iterations = {ITERATIONS}": "iterations = 3"}
"""So that the learner waits, and publishes its policy, after each iteration, and an actor builds for the next one."""

CONFIG = """
[campaign]
name = "apart"
seed = 3
iterations = {iterations}
batch_size = {batch}

[policy]
prior = "{prior}"

[objective]
[[objective.components]]
kind = "qed"

[buffer]
selection = "{selection}"

[[samplers]]
kind = "model"
name = "live"
buffer_size = {build}

[training]
mode = "async"
checkpoint_every = 3

[actors]
tolerance = 24
min_rows = 40
wait_minutes = 0.0001
{more}
"""


class Full(Exception):
    """The rate limit lets an actor insert nothing now."""


class Killed(Exception):
    """What ends a process in these tests."""


def settings_of(prior: Path, more: str = "", selection: str = "consume_once", **replaced: str) -> Settings:
    text = CONFIG.format(batch=BATCH, build=BUILD, iterations=ITERATIONS, prior=prior, more=more, selection=selection)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return Settings.model_validate(tomllib.loads(text))


@dataclass
class Apart:
    """A store in which a learner and actors work."""

    store: SampleStore
    settings: Settings
    waits: int = 0
    texts: list[str] = field(default_factory=list)
    scorers: int = 0
    endings: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def actor(self, run_id: str) -> Iterator[Actor]:
        """Give an actor whose wait ends with Full."""

        def pause(_seconds: float) -> None:
            raise Full

        learner = find_learner(self.store, LEARNER)
        with actor_run(self.store, learner, run_id) as campaign:
            actor = make_actor(campaign, learner.run_id)
            actor.plan = replace(actor.plan, pause=pause)
            yield actor

    def learn(self, actors: Sequence[str] = ACTORS, at_pause: Callable[[int], None] = lambda _: None) -> Any:
        """Have the learner go on to its end, and actors build while it waits; return its training."""
        with ExitStack() as stack:
            working: dict[str, Actor] = {}

            def pause(_seconds: float) -> None:
                self.waits += 1
                at_pause(self.waits)
                for run_id in actors:
                    if run_id not in working:
                        working[run_id] = stack.enter_context(self.actor(run_id))
                    build(working[run_id])
                for _ in range(self.scorers):
                    BacklogScorer(self.store, backlogs_of_runs(self.store), batch=SCORED_AT_ONCE).run()

            with campaign_run(self.settings, self.store, RunKind.TRAIN, LEARNER) as campaign:
                training = prepare_online(campaign)
                followed: Any = training.loader.actors
                followed.plan = replace(followed.plan, pause=pause)
                followed.tell = self.texts.append
                run_training(training, campaign.failures())
            for run_id, actor in working.items():
                self.endings[run_id] = actor.run(1)
        return training

    def query(self, sql: str, *parameters: Any) -> pl.DataFrame:
        return self.store.query(sql, parameters)


def build(actor: Actor) -> bool:
    """Have an actor make a build if it may; return whether it did."""
    try:
        actor.run(1)
    except Full:
        return False
    return True


@pytest.fixture
def apart(tmp_path: Path, small_prior: Path, empty_store: Path) -> Iterator[Apart]:
    with SampleStore.open(shutil.copytree(empty_store, tmp_path / "lab")) as store:
        yield Apart(store, settings_of(small_prior))


@pytest.fixture(scope="module")
def deserted_store(tmp_path_factory: pytest.TempPathFactory, small_prior: Path, empty_store: Path) -> Path:
    """A store with a learner that has waited for actors in vain, and whose process is gone."""
    path = tmp_path_factory.mktemp("deserted") / "lab"
    with SampleStore.open(shutil.copytree(empty_store, path)) as store:
        with pytest.raises(SilentActorsError):
            Apart(store, settings_of(small_prior)).learn(actors=())
        store.finish_run(LEARNER, RunStatus.INTERRUPTED)
    return path


@pytest.fixture
def deserted(deserted_store: Path, open_copy: Callable[[Path], SampleStore], small_prior: Path) -> Apart:
    """A copy of it."""
    return Apart(open_copy(deserted_store), settings_of(small_prior))


@pytest.fixture(scope="module")
def ended(
    tmp_path_factory: pytest.TempPathFactory, small_prior: Path, empty_store: Path
) -> Iterator[tuple[Apart, Any]]:
    """A learner and two actors that have come to the end, and the training of the learner."""
    with SampleStore.open(shutil.copytree(empty_store, tmp_path_factory.mktemp("ended") / "lab")) as store:
        apart = Apart(store, settings_of(small_prior))
        yield apart, apart.learn()


METRICS = (
    """SELECT iteration, name, value FROM metrics WHERE run_id = ? AND build_id IS NULL ORDER BY iteration, name"""
)
TWICE = """SELECT build_id, "row" FROM consumed WHERE run_id = ? GROUP BY ALL HAVING count(*) > 1"""


def metrics_of(apart: Apart) -> dict[str, list[float]]:
    found = apart.query(METRICS, LEARNER)
    return {str(name): rows["value"].to_list() for (name,), rows in found.group_by(["name"], maintain_order=True)}


def test_a_learner_and_two_actors_work_to_the_end(ended: tuple[Apart, Any]) -> None:
    apart, training = ended
    assert training.loader.iteration == ITERATIONS
    assert apart.endings == dict.fromkeys(ACTORS, f"run {LEARNER} has finished")
    runs = apart.query("SELECT run_id, kind, name, parent_run_id, seed FROM runs ORDER BY run_id").rows()
    assert [row[:4] for row in runs] == [
        (LEARNER, "train", "apart", None),
        *((actor, "build", "apart", LEARNER) for actor in ACTORS),
    ]
    assert len({row[4] for row in runs}) == 3  # R29
    drawn = apart.query("SELECT run_id, iteration, chunk, policy_sha256 FROM builds ORDER BY run_id, chunk")
    assert set(drawn["run_id"]) == set(ACTORS)
    for actor in ACTORS:
        of_actor = drawn.filter(pl.col("run_id") == actor)
        assert of_actor["chunk"].to_list() == list(range(len(of_actor)))
        assert of_actor["iteration"].is_sorted() and of_actor["iteration"].max() > 0
    # Each policy of an iteration drew as itself: the lineage says which.
    named = apart.query("SELECT sha256, iteration FROM policies WHERE run_id = ?", LEARNER)
    for _, iteration, _, sha256 in drawn.filter(pl.col("iteration") > 0).rows():
        assert (sha256, iteration) in named.rows()


def test_the_surplus_stays_in_the_band_and_the_lag_is_told(ended: tuple[Apart, Any]) -> None:
    apart, _ = ended
    found = metrics_of(apart)
    assert found["sampled"] == [BATCH * (1 + done) for done in range(ITERATIONS)]
    limit = apart.settings.rates.limit
    for inserted, sampled, surplus in zip(found["inserted"], found["sampled"], found["surplus"], strict=True):
        assert surplus == limit.surplus(int(inserted), int(sampled))
        assert -limit.tolerance <= surplus <= limit.tolerance + BUILD
    # The first rows were drawn by the policy of iteration 0, and used later and later.
    assert found["policy_lag_max"][0] == 0 and max(found["policy_lag_max"]) > 0
    assert apart.query(TWICE, LEARNER).is_empty()
    assert len(apart.query("SELECT * FROM consumed WHERE run_id = ?", LEARNER)) == ITERATIONS * BATCH


def test_actors_say_that_new_is_approximate(ended: tuple[Apart, Any]) -> None:
    apart, _ = ended
    names = apart.query("SELECT DISTINCT name FROM metrics WHERE build_id IS NOT NULL")["name"].to_list()
    assert "new_approximate" in names and "new" not in names
    # One build after another, so that it is exact: a molecule counts where it occurs first.
    first = apart.query("SELECT count(DISTINCT smiles) AS n FROM samples WHERE kept").item()
    told = apart.query("SELECT sum(value) AS n FROM metrics WHERE name = 'new_approximate'").item() * BUILD
    assert round(told) == first


@pytest.mark.parametrize(("killed", "replaced"), [("learner", {}), ("both", EACH_WAITS)], ids=["learner", "both"])
def test_either_is_killed_and_goes_on(
    apart: Apart, small_prior: Path, killed: str, replaced: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.settings = settings_of(small_prior, **replaced)
    iterations, batch = apart.settings.campaign.iterations, apart.settings.campaign.batch_size
    commit = SampleStore.commit
    # Whose commit it is, and which of those since the last kill.
    victims = {"learner": [(LEARNER, 2)], "both": [(ACTORS[0], 2), (LEARNER, 1), (ACTORS[0], 1)]}[killed]
    left, seen = [*victims], [0]

    def dies(store: SampleStore, parts: Any) -> Any:
        """End the process at a commit: before it, or between it and its acknowledgement, in turn."""
        if left and left[0][0] in {parts.run_id, *(each.run_id for each in parts.builds)}:
            seen[0] += 1
            if seen[0] == left[0][1]:
                victim, seen[0] = left.pop(0)[0], 0
                if len(left) % 2:
                    commit(store, parts)
                raise Killed(victim)
        return commit(store, parts)

    monkeypatch.setattr(SampleStore, "commit", dies)
    for victim, _ in victims:
        with pytest.raises(Exception, match=victim):
            apart.learn()
    training = apart.learn()
    assert training.loader.iteration == iterations and not left
    found = metrics_of(apart)
    # What a resumed learner does again counts once.
    assert found["sampled"] == [batch * (1 + done) for done in range(iterations)]
    assert apart.query(TWICE, LEARNER).is_empty()
    limit = apart.settings.rates.limit
    assert all(-limit.tolerance <= each <= limit.tolerance + len(ACTORS) * BUILD for each in found["surplus"])
    chunks = apart.query("SELECT run_id, chunk FROM builds")
    assert len(chunks.unique()) == len(chunks)
    # All that an actor had committed can be trained on, whoever was killed since.
    rows = training.loader.buffer.index
    kept = apart.query("SELECT count(*) AS n FROM samples WHERE kept").item()
    assert rows.own.all() and (len(rows) == kept or len(rows) == kept - BUILD)


@pytest.mark.parametrize("order", list(permutations(["learner", "actor", "scorer"])))
def test_learner_actor_and_scorer_are_killed_in_every_order(
    apart: Apart, small_prior: Path, order: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.settings = settings_of(
        small_prior,
        **EACH_WAITS,
        **{'kind = "qed"': 'kind = "qed"\nmode = "backlog"', "min_rows = 40": f"min_rows = {BUILD}"},
    )
    apart.scorers, calls, left = 1, Counter(), [*order]

    def dies_at(method: str, victim_of: Callable[[Any], str]) -> None:
        write = getattr(SampleStore, method)

        def dies(store: SampleStore, parts: Any, *others: Any, **named: Any) -> Any:
            if left and victim_of(parts) == left[0]:
                # Before what it writes, or after it and before it knows.
                if len(left) % 2:
                    write(store, parts, *others, **named)
                raise Killed(left.pop(0))
            return write(store, parts, *others, **named)

        monkeypatch.setattr(SampleStore, method, dies)

    def role(parts: Any) -> str:
        return "learner" if parts.run_id == LEARNER else "actor" if parts.builds else "nobody"

    values = QED.values

    def counted(component: QED, molecules: Sequence[str]) -> Any:
        calls.update(molecules)
        return values(component, molecules)

    monkeypatch.setattr(QED, "values", counted)
    dies_at("commit", role)
    dies_at("add_rewards_of_builds", lambda _: "scorer")
    for victim in order:
        with pytest.raises(Exception, match=victim):
            apart.learn(actors=ACTORS[:1])
    training = apart.learn(actors=ACTORS[:1])
    assert training.loader.iteration == 3 and not left
    assert metrics_of(apart)["sampled"] == [BUILD * (1 + done) for done in range(3)]
    assert apart.query(TWICE, LEARNER).is_empty()
    assert calls and set(calls.values()) == {1}
    stored = apart.query("SELECT smiles FROM scores WHERE status = 'ok'")["smiles"].to_list()
    assert sorted(stored) == sorted(calls)


def test_live_rows_that_are_not_committed_stay_in_the_buffer(apart: Apart, small_prior: Path) -> None:
    apart.settings = settings_of(
        small_prior,
        selection="uniform",
        **{f"buffer_size = {BUILD}": f"buffer_size = {BUILD}\np_batch = 0.5"},
        **{f"iterations = {ITERATIONS}": "iterations = 5"},
    )
    training = apart.learn()
    index, live = training.loader.buffer.index, training.loader.buffer.candidates.live
    drawn = apart.query("SELECT count(*) AS n FROM builds WHERE event = 'sample_batch'").item()
    there = {
        each
        for each, event in zip(index.build_ids, index.builds["event"].to_pylist(), strict=True)
        if event == "sample_batch"
    }
    assert drawn == 5
    assert there and live and not there & {each.build_id for each in live}
    assert len(there) + len(live) == drawn
    assert metrics_of(apart)["sampled"][-1] == 5 * BATCH / 2


def test_a_budget_is_one_of_learner_and_actors(apart: Apart, small_prior: Path) -> None:
    apart.settings = settings_of(small_prior, iterations="max_oracle_calls = 60\niterations")
    apart.learn()
    asked = apart.query("SELECT count(DISTINCT smiles) AS n FROM sample_history WHERE kept").item()
    assert asked == 60  # one after another, so that nothing is in flight
    assert apart.query("SELECT detail FROM run_events WHERE run_id = ? AND status = 'finished'", LEARNER).item() == (
        "60 oracle calls"
    )
    refused = apart.query("SELECT count(*) AS n FROM samples WHERE rejected_by = 'budget'").item()
    assert refused > 0


def test_the_diversity_memory_counts_rows_of_actors_once(
    apart: Apart, small_prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = '[diversity]\nbuckets = "scaffold"\nsize = 2\nmin_reward = 0.1'
    apart.settings = settings_of(small_prior, more=memory)
    commit, done = SampleStore.commit, [0]

    def dies(store: SampleStore, parts: Any) -> Any:
        done[0] += bool(parts.checkpoint)
        if done[0] == 3:
            done[0] += 1
            raise Killed(LEARNER)
        return commit(store, parts)

    monkeypatch.setattr(SampleStore, "commit", dies)
    with pytest.raises(Exception, match=LEARNER):
        apart.learn()
    apart.learn()
    counted = apart.query("SELECT smiles FROM bucketed_molecules WHERE run_id = ?", LEARNER)["smiles"].to_list()
    assert len(set(counted)) == len(counted)
    pinned = int(metrics_of(apart)["snapshot"][-1])
    good = apart.store.at(pinned).query("SELECT DISTINCT smiles FROM sample_history WHERE reward >= 0.1")["smiles"]
    assert set(counted) == set(good)


def test_a_learner_without_actors_ends_and_says_how_to_start_one(apart: Apart) -> None:
    with pytest.raises(SilentActorsError) as told:
        apart.learn(actors=())
    text = str(told.value)
    assert f"molbuffer act --store {apart.store.path} --run {LEARNER}" in text
    assert "waits for 16 rows" in text and "no actor of 0" in text and "actors.local" in text


def test_an_actor_waits_for_a_learner_that_is_gone_and_ends_after_a_while(deserted: Apart) -> None:
    with deserted.actor(ACTORS[0]) as actor:
        actor.plan = replace(actor.plan, pause=lambda _: None)
        # It draws what the limit allows, without anybody who learns: 40 rows, and a tolerance of 24 more.
        assert "no process has worked" in actor.run()
    assert len(deserted.query("SELECT * FROM builds")) == 2


def test_an_actor_ends_after_as_many_builds_as_asked_and_is_resumed_where_it_stood(deserted: Apart) -> None:
    for chunk in range(2):
        with deserted.actor(ACTORS[0]) as actor:
            assert actor.run(1) == "1 builds"
        assert deserted.query("SELECT max(chunk) AS n FROM builds").item() == chunk
    with deserted.actor(ACTORS[0]) as actor, pytest.raises(Full):
        actor.run(1)
    molecules = deserted.query('SELECT list(raw ORDER BY "row") AS rows FROM samples GROUP BY build_id')[
        "rows"
    ].to_list()
    assert molecules[0] != molecules[1]


def test_an_actor_does_not_change_its_learner(deserted: Apart) -> None:
    with deserted.actor(ACTORS[0]) as actor:
        actor.run(1)
    record = deserted.store.run(ACTORS[0])
    assert record.parent_run_id == LEARNER
    with pytest.raises(RunConflictError, match="parent_run_id"):
        deserted.store.start_run(replace(record, parent_run_id=None))


def test_actors_draw_for_asynchronous_trainings_only(apart: Apart, small_prior: Path) -> None:
    with pytest.raises(NoLearnerError, match="no training of the campaign 'other'"):
        find_learner(apart.store, name="other")
    sync = settings_of(small_prior, **{'mode = "async"': 'mode = "sync"'})
    apart.store.start_run(Run("2" * 32, "sync", RunKind.TRAIN, sync.to_json(), 3))
    with pytest.raises(NoLearnerError, match=r'training\.mode = "sync"'):
        find_learner(apart.store, "2222")
    apart.store.start_run(Run("3" * 32, "built", RunKind.BUILD, sync.to_json(), 3))
    with pytest.raises(NoLearnerError, match="a run of the kind build"):
        find_learner(apart.store, "3333")
    apart.store.start_run(Run(LEARNER, "apart", RunKind.TRAIN, apart.settings.to_json(), 3))
    assert find_learner(apart.store).run_id == find_learner(apart.store, name="apart").run_id == LEARNER
    apart.store.finish_run(LEARNER, RunStatus.FINISHED)
    with pytest.raises(NoLearnerError, match="is at work"):
        find_learner(apart.store)


def test_policies_that_drew_for_a_run_are_removed_as_its_own(apart: Apart, small_prior: Path) -> None:
    apart.settings = settings_of(
        small_prior,
        iterations="keep_policies = 1\niterations",
        checkpoint_every="learning_rate = 0.003\ncheckpoint_every",
        **EACH_WAITS,
    )
    apart.learn()
    published = apart.query("SELECT DISTINCT sha256 FROM policies WHERE run_id = ?", LEARNER)["sha256"].to_list()
    drew = set(apart.query("SELECT DISTINCT policy_sha256 AS sha256 FROM builds")["sha256"])
    there = {path.name for path in (apart.store.path / "policies").iterdir()}
    assert len(drew & set(published)) >= 2
    # The newest and the best one stay, whoever has drawn with them.
    assert len(there & set(published)) <= 2
