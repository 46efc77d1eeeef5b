"""The store against a plain dict: any order of commits, repeats, scores, re-openings, time travel and maintenance."""

import importlib.util
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, RowId, Score, ScoreStatus
from molbuffer.storage.segments.segment import ARRAYS

spec = importlib.util.spec_from_file_location("writer_helpers", Path(__file__).parents[1] / "writer_process.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

iterations = st.integers(0, 3)
molecules = st.sampled_from(["C", "CC", "N"])


class StoreMachine(RuleBasedStateMachine):
    """``builds`` and ``scores`` are what the store holds, ``versions`` the builds that it held at each version."""

    @initialize()
    def create(self):
        self.folder = Path(tempfile.mkdtemp())
        self.store = SampleStore.create(self.folder / "store")
        self.store.start_run(make.make_run())
        self.builds = {}
        self.scores = {}
        self.versions = {}
        self.pinned = set()
        # Something to merge, and versions to pin, from the first step on.
        for iteration in (0, 1):
            self.commit({iteration: 0})

    @rule(parts=st.dictionaries(iterations, st.integers(0, 2), min_size=1, max_size=3))
    def commit(self, parts):
        builds = [self.build(iteration, seed) for iteration, seed in parts.items()]
        commit = self.store.commit(Commit(builds))
        for build, receipt in zip(builds, commit.builds, strict=True):
            assert receipt.repeated == (build.build_id in self.builds)
            self.builds.setdefault(build.build_id, build)
        self.versions[commit.snapshot] = set(self.builds)

    def build(self, iteration, seed):
        """One with sources and latents, or without."""
        return make.make_build(iteration, samples=make.make_pairs(seed=seed) if seed else make.make_samples())

    @rule(iteration=iterations, row=st.integers(0, 5), place=st.integers(0, 5))
    def readmit(self, iteration, row, place):
        source = sorted(self.builds)[place % len(self.builds)]
        build = make.make_readmission(iteration, (RowId(source, row),))
        commit = self.store.commit(Commit([build]))
        assert commit.builds[0].repeated == (build.build_id in self.builds)
        self.builds.setdefault(build.build_id, build)
        self.versions[commit.snapshot] = set(self.builds)

    @rule(smiles=molecules, value=st.none() | st.floats(0, 1))
    def record(self, smiles, value):
        status = ScoreStatus.FAILED if value is None else ScoreStatus.OK
        score = Score(smiles, "qed", "v1", value, status)
        self.store.record_scores([score])
        if self.scores.get(smiles, score).status is not ScoreStatus.OK or smiles not in self.scores:
            self.scores[smiles] = score

    @rule()
    def reopen(self):
        self.store.close()
        self.store = SampleStore.open(self.folder / "store")

    @precondition(lambda self: self.versions)
    @rule(place=st.integers(0, 5))
    def pin(self, place):
        version = sorted(self.versions)[place % len(self.versions)]
        self.store.start_run(make.make_run(f"pin-{version}", pinned_snapshot=version))
        self.pinned.add(version)

    @rule(segment_rows=st.sampled_from([12, 200_000]), keep=st.sampled_from([None, 1, 2]))
    def maintain(self, segment_rows, keep):
        work = self.store.maintenance
        work.compact(segment_rows=segment_rows)
        if keep is not None:
            work.expire(timedelta(0), keep=keep)
            left = {snapshot.version for snapshot in self.store.snapshots()}
            assert left >= self.pinned
            self.versions = {version: ids for version, ids in self.versions.items() if version in left}
        work.vacuum(grace=timedelta(0))
        assert work.vacuum(grace=timedelta(0), dry_run=True).removed == ()

    @invariant()
    def the_store_holds_what_the_dict_holds(self):
        counts = self.store.read_arrow("SELECT build_id, count(*) AS n FROM {samples} GROUP BY build_id").to_pylist()
        assert {row["build_id"]: row["n"] for row in counts} == {
            key: len(build.samples) for key, build in self.builds.items() if len(build.samples)
        }
        assert self.store.find_scores("qed", "v1", ["C", "CC", "N"]) == self.scores
        for version, ids in self.versions.items():
            found = self.store.read_arrow("SELECT build_id FROM {builds}", snapshot=version)["build_id"].to_pylist()
            assert (len(found), set(found)) == (len(ids), ids)

    def teardown(self):
        newest = self.store.snapshot()
        for version, ids in {**self.versions, newest: set(self.builds)}.items():
            then = self.store.at(version)
            assert {receipt.build_id for receipt in then.receipts("run-1")} == ids
            for build_id in ids:
                read, wanted = then.build(build_id).build, self.builds[build_id]
                assert read.references == wanted.references
                found, expected = read.samples, wanted.samples
                assert (found.raw, found.smiles) == (expected.raw, expected.smiles)
                for name in ARRAYS:
                    np.testing.assert_array_equal(getattr(found.rows, name), getattr(expected.rows, name), name)
        assert self.store.verify().errors == ()
        self.store.close()
        shutil.rmtree(self.folder)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=6,
    stateful_step_count=9,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
