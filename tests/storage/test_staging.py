"""Builds that one process makes and another commits."""

import math
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import ArraysError
from molbuffer.storage.records import (
    Build,
    Commit,
    FileOrigin,
    Metric,
    PickedBy,
    Reward,
    RowId,
    Samples,
    Score,
    ScoreStatus,
    ScreenedRow,
)


@pytest.fixture
def build(make: ModuleType, started: SampleStore) -> Build:
    """A build in which no field has its default."""
    plain: Build = make.make_build()
    n = len(plain.samples)
    samples = replace(
        plain.samples,
        source_rows=[RowId("b" * 64, 3), *[None] * (n - 1)],
        source_smiles=["CCO", *[None] * (n - 1)],
        parents=[("CCO", "CCN"), *[()] * (n - 1)],
        origins=[FileOrigin("/a.smi", 7, "one"), *[None] * (n - 1)],
        screened=[ScreenedRow(0.5, 0.1, math.nan, PickedBy.MODEL), *[None] * (n - 1)],
    )
    return replace(
        plain,
        samples=samples,
        chunk=2,
        sampler_order=1,
        temperature=0.1 + 0.2,
        top_k=5,
        top_p=0.9,
        latent_sha256="c" * 64,
        seed=2**63 - 1,
        rewards=[Reward(0, "d" * 64, 1 / 3), Reward(1, "d" * 64, None, ScoreStatus.FAILED)],
        scores=[
            Score("CCO", "dock", "1", -7.25, pose="mol", std=0.5),
            Score("C", "dock", "1", None, ScoreStatus.FAILED, "no"),
        ],
        metrics=[Metric("new", 0.25), Metric("rewards", None)],
        attempt_id="a/1",
        flow_run_id="f",
        task_run_id="t",
        stage=1,
        screening="{}",
    )


def equal(one: object, other: object) -> bool:
    """Whether two values are equal, NaN to itself, and lists to tuples."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return repr(one) == repr(other)


def test_a_staged_build_comes_back_as_it_was(started: SampleStore, build: Build) -> None:
    optional = [field for field in fields(Samples) if field.default is None]
    assert [field.name for field in optional if getattr(build.samples, field.name) is None] == [], "all are tried"
    with SampleStore.open(started.path) as other:
        found = other.staged(started.stage(build))
    for field in fields(Build):
        if field.name != "samples":
            assert equal(getattr(found, field.name), getattr(build, field.name)), field.name
    for field in fields(Samples):
        if field.name != "rows":
            assert equal(getattr(found.samples, field.name), getattr(build.samples, field.name)), field.name
    for name, array in build.samples.rows.columns().items():
        np.testing.assert_array_equal(found.samples.rows.columns()[name], array)


def test_it_counts_only_once_it_is_committed(started: SampleStore, build: Build) -> None:
    plain = replace(build, samples=replace(build.samples, source_rows=None, source_smiles=None))
    name = started.stage(plain)
    assert started.receipts(build.run_id) == []
    receipt = started.commit(Commit([started.staged(name)])).builds[0]
    started.drop_staged(name)
    assert (receipt.build_id, receipt.drawn) == (build.build_id, len(build.samples))
    assert started.build(build.build_id).build.samples.raw == list(build.samples.raw)
    with pytest.raises(ArraysError, match="have it made again"):
        started.staged(name)
    started.drop_staged(name)


def test_what_a_killed_run_leaves_is_removed_by_a_vacuum(started: SampleStore, build: Build) -> None:
    folder: Path = started.path / "arrays" / started.stage(build)
    removed = started.maintenance.vacuum(grace=timedelta(0)).removed
    assert [each.kind for each in removed] == ["segment"]
    assert not folder.exists()


@pytest.mark.parametrize("name", ["", "..", "../policies", "a" * 31])
def test_only_a_staged_build_is_dropped(started: SampleStore, name: str) -> None:
    with pytest.raises(ValueError, match=r"staged build|badly formed"):
        started.drop_staged(name)
    assert (started.path / "arrays").is_dir()
