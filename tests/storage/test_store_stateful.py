"""The store against a plain dict: any order of commits, repeats, scores and re-openings."""

import importlib.util
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from storage import SampleStore
from storage.records import Commit, Score, ScoreStatus

spec = importlib.util.spec_from_file_location("writer_helpers", Path(__file__).with_name("writer_process.py"))
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

iterations = st.integers(0, 3)
molecules = st.sampled_from(["C", "CC", "N"])


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def create(self):
        self.folder = Path(tempfile.mkdtemp())
        self.store = SampleStore.create(self.folder / "store")
        self.store.start_run(make.make_run())
        self.builds = {}
        self.scores = {}
        self.versions = {}

    @rule(parts=st.dictionaries(iterations, st.integers(0, 2), min_size=1, max_size=3))
    def commit(self, parts):
        builds = [make.make_build(iteration, seed=seed) for iteration, seed in parts.items()]
        commit = self.store.commit(Commit(builds))
        for build, receipt in zip(builds, commit.builds, strict=True):
            assert receipt.repeated == (build.build_id in self.builds)
            self.builds.setdefault(build.build_id, build)
        self.versions[commit.snapshot] = len(self.builds)

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

    @invariant()
    def the_store_holds_what_the_dict_holds(self):
        counts = self.store.read_arrow("SELECT build_id, count(*) AS n FROM {samples} GROUP BY build_id").to_pylist()
        assert {row["build_id"]: row["n"] for row in counts} == {key: len(b.samples) for key, b in self.builds.items()}
        assert self.store.find_scores("qed", "v1", ["C", "CC", "N"]) == self.scores
        for version, number in self.versions.items():
            found = self.store.read_arrow("SELECT count(*) AS n FROM {builds}", snapshot=version)
            assert found["n"][0].as_py() == number

    def teardown(self):
        for build_id, build in self.builds.items():
            assert self.store.build(build_id).samples.smiles == build.samples.smiles
        self.store.close()
        shutil.rmtree(self.folder)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=6, stateful_step_count=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
