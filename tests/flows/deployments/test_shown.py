"""What the page of a night shows: texts and tables of a real store, pictures, and that no failure of it ends a run."""

import base64
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from molbuffer.flows.artifacts import pictures, shown, tables
from molbuffer.flows.artifacts.shown import ShownRun, shown_run
from molbuffer.pages import best_molecules, funnel, sampler_totals, scope_of
from molbuffer.pages.facts.funnel import Funnel
from molbuffer.storage import Commit, Metric, Run, RunKind, SampleStore
from molbuffer.training import FitProgress

RUN = "a" * 32


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the log of the run."""
    lines: list[str] = []
    monkeypatch.setattr(shown, "inform", lines.append)
    monkeypatch.setattr(shown, "warn", lambda text: lines.append(f"warning: {text}"))
    return lines


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was published, by key."""
    found: dict[str, Any] = {}
    for kind in ("table", "markdown", "progress"):

        def create(data: Any, key: str, description: str = "") -> Any:
            from uuid import uuid4

            found[key] = data
            return uuid4()

        monkeypatch.setattr(f"prefect.artifacts.create_{kind}_artifact", create)
    monkeypatch.setattr(
        "prefect.artifacts.update_progress_artifact", lambda _, share: found.__setitem__("tiny-progress", share)
    )
    return found


def test_a_run_is_told_and_published(scored_store: Path, told: list[str], published: dict[str, Any]) -> None:
    with shown_run(str(scored_store), RUN, "Tiny/1") as run:
        run.built(_receipt(scored_store))
    assert told[0] == f"campaign Tiny/1: run {RUN} of the store {scored_store}"
    assert told[1] == "iteration 0, live: drew 16, kept 16, mean reward 0.375"
    assert told[2] == (
        "drawn 32, of which 0 are no molecules; refused none by filters; kept 32: 0 scored, 32 with scores from the "
        "store, 0 failed"
    )
    assert told[3].startswith("best so far: 0.750  ")
    assert told[-1] == f"the run is finished; what it stored is in {scored_store}"
    assert not [line for line in told if line.startswith("warning")]
    assert set(published) == {f"tiny-1-{name}" for name in ("funnel", "samplers", "builds", "best-molecules", "curve")}
    assert published["tiny-1-funnel"][0] == {"what became of the rows": "drawn", "rows": 32, "share": "100.0%"}
    assert [row["iteration"] for row in published["tiny-1-builds"]] == [1, 0]


def test_a_run_that_fails_is_shown_and_fails_with_its_own_error(
    scored_store: Path, told: list[str], published: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="of the work"), shown_run(str(scored_store), RUN, "tiny"):
        raise ValueError("of the work")
    assert f"the run ends with ValueError; what it stored is kept, and run_id = {RUN} resumes it" in told
    assert "tiny-funnel" in published


def test_no_failure_of_the_page_ends_a_run_and_each_is_told_once(
    scored_store: Path, told: list[str], published: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any, **_named: Any) -> None:
        raise RuntimeError("503 Service Unavailable")

    for kind in ("table", "markdown", "progress"):
        monkeypatch.setattr(f"prefect.artifacts.create_{kind}_artifact", refuse)
    with shown_run(str(scored_store), RUN, "tiny") as run:
        run.publish()
        run.publish()
    warnings = [line for line in told if line.startswith("warning")]
    assert warnings == ["warning: the page of the run has no tables: RuntimeError: 503 Service Unavailable"]
    assert told[-1].startswith("the run is finished")


def test_iterations_are_told_no_more_often_than_anybody_reads(
    scored_store: Path, told: list[str], published: dict[str, Any]
) -> None:
    now = 0.0
    run = ShownRun(str(scored_store), RUN, "tiny", clock=lambda: now)
    for iteration in range(1, 62):
        now += 1.0
        run.stepped(FitProgress(iteration, 100, {"loss": 1 / 3, "reward_live": None}))
    assert told == [f"iteration {each} of 100: loss 0.333" for each in (15, 30, 45, 60)]
    assert published == {"tiny-progress": 60.0}
    # What was done since then is known at the end.
    run.publish()
    assert published["tiny-progress"] == 61.0
    now += shown.SECONDS_BETWEEN_TABLES
    run.stepped(FitProgress(62, 100, {}))
    assert "tiny-funnel" in published


def test_the_table_of_molecules_has_their_pictures_and_every_component(scored_store: Path) -> None:
    with SampleStore.open(scored_store, read_only=True) as store:
        objective = store.run(RUN).objective_sha256
        assert objective is not None
        best = best_molecules(scope_of(store, [RUN]), objective, 3)
    text = tables.molecules_text(best, [pictures.molecule_picture(each.smiles) for each in best])
    lines = text.split("\n")
    assert len(lines) == 2 + 3
    assert {line.count(" | ") for line in lines} == {len(lines[0].split(" | ")) - 1}
    address = re.search(r"\(data:image/png;base64,([^)]*)\)", lines[2])
    assert address is not None
    assert base64.b64decode(address[1]).startswith(b"\x89PNG")
    assert f"`{best[0].smiles}`" in lines[2]
    # The reward comes before the picture, whose text is no SMILES: brackets would be missing from it.
    assert lines[2].startswith(f"| 1 | {best[0].reward:.3f} | ![molecule 1](data:")


def test_an_offline_run_tells_what_it_learnt_and_not_that_it_drew_nothing(
    scored_store: Path, told: list[str], published: dict[str, Any]
) -> None:
    with SampleStore.open(scored_store) as store:
        store.start_run(Run("e" * 32, "again", RunKind.OFFLINE, "{}", 0, "f" * 64))
        store.commit(Commit(run_id="e" * 32, run_metrics=[(at, Metric("loss", 1.0)) for at in range(3)]))
    with shown_run(str(scored_store), "e" * 32, "tiny") as run:
        run.publish()
    line = "3 iterations on stored rows; this run draws nothing"
    assert told.count(line) == 1 and not [each for each in told if "nothing was drawn" in each]
    assert "tiny-curve" in published and "how run eeeeeeee went" in published["tiny-curve"]


HOSTILE = "x|y`<script>alert(1)</script>[a](javascript:b)\n# " + "C" * 10_000


def test_names_of_the_store_are_text_in_tables_whatever_they_are(scored_store: Path) -> None:
    with SampleStore.open(scored_store, read_only=True) as store:
        scope = scope_of(store, [RUN])
        objective = store.run(RUN).objective_sha256
        assert objective is not None
        (best,) = best_molecules(scope, objective, 1)
        totals = sampler_totals(scope)
    from dataclasses import replace

    text = tables.molecules_text([replace(best, smiles=HOSTILE, sampler=HOSTILE)], [None])
    line = text.split("\n")[2]
    assert len(text.split("\n")) == 3
    assert len(line) < 2_000
    # Outside of code every letter of markup is escaped.
    outside = re.sub(r"`[^`]*`", "", line)
    assert "<script" not in outside.replace("\\<", "")
    assert "](" not in outside.replace("\\]", "").replace("\\(", "")
    (row,) = tables.samplers_table(totals.with_columns(pl.lit(HOSTILE).alias("sampler")).head(1))
    assert len(row["sampler"]) <= tables.MOST_TEXT
    refused = Funnel(2, 2, {HOSTILE: 1}, 1, 0, 0, 1, 1)
    assert len(tables.funnel_line(refused)) < 600


def test_tables_have_no_more_rows_than_they_say(scored_store: Path) -> None:
    with SampleStore.open(scored_store, read_only=True) as store:
        (receipt, *_) = store.receipts(RUN)
        totals = sampler_totals(scope_of(store, [RUN]))
        became = funnel(scope_of(store, [RUN]))
    assert len(tables.builds_table([receipt] * 500)) == tables.MOST_BUILDS
    assert len(tables.samplers_table(pl.concat([totals] * 500))) == tables.MOST_SAMPLERS
    assert len(tables.funnel_table(became)) == 6


def test_a_molecule_that_cannot_be_drawn_has_no_picture_and_a_large_picture_is_left_out() -> None:
    assert pictures.molecule_picture("not a molecule") is None
    assert pictures.as_address(b"x" * (pictures.MOST_PICTURE_BYTES + 1), "png") is None


def test_curves_are_small_pictures() -> None:
    steps = list(range(200))
    up = [step / 200 for step in steps]
    frame = pl.DataFrame({"iteration": steps, "mean": up, "low": up, "high": up, "value": up})
    calls = pl.DataFrame({"calls": steps, "best": up, "top_10": up})
    for address in (pictures.training_curve(frame), pictures.loss_curve(frame), pictures.calls_curve(calls)):
        assert address is not None
        picture = base64.b64decode(address.partition(",")[2]).decode()
        assert picture.startswith("<svg") and len(picture) < 60_000


def _receipt(folder: Path) -> Any:
    with SampleStore.open(folder, read_only=True) as store:
        return min(store.receipts(RUN), key=lambda each: each.iteration)
