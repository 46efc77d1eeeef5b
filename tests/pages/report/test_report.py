"""The report is a sensible page for whatever store there is."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from molbuffer.pages import Reference, ReportOptions, compare_runs, make_report, scope_of
from molbuffer.pages.charts.chart import columns_of, short_labels
from molbuffer.pages.report.blocks import Cards, Charts, Heading, Note, Table, duration
from molbuffer.pages.report.context import context_of, objective_named
from molbuffer.pages.report.html import _worded, json_in_html
from molbuffer.pages.report.report import SECTIONS
from molbuffer.pages.report.sections.how_it_went import drawn_funnel, learning
from molbuffer.pages.report.sections.what_came_out import best, lineage
from molbuffer.pages.report.sections.what_was_run import what_was_run
from molbuffer.storage import (
    Commit,
    Metric,
    ObjectiveDefinition,
    RunKind,
    SampleStore,
    Score,
    UnknownRunError,
    trusted_archive,
)


class Page(HTMLParser):
    """What a page has: its elements, its texts by section, and the content of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.leads, self.empty, self._open = [], [], {}, {}, []
        self.section = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self._open.append((tag, attributes.get("class"), attributes.get("id")))
        if tag == "section":
            self.section = attributes["id"]

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, kind, name = self._open[-1] if self._open else (None, None, None)
        if tag == "script":
            self.scripts.append((name, data))
        elif kind == "lead":
            self.leads[self.section] = self.leads.get(self.section, "") + data
        elif kind == "empty" and self.section:
            self.empty[self.section] = data

    @property
    def charts(self):
        return json.loads(dict(self.scripts)["charts"])


@pytest.fixture(scope="module")
def page(opened):
    options = ReportOptions(reference=Reference("own.smi", ["OCC", "Cc1ccccc1"]), align="Cc1ccccc1")
    return make_report(opened, options=options)


def test_every_section_says_what_it_shows_and_what_to_watch_for(page):
    found = Page(page)
    assert list(found.leads) == [
        *("runs", "learning", "funnel", "samplers", "molecules", "diversity", "trade-offs", "space", "failures"),
        *("costs", "lineage"),
    ]
    assert found.empty == {}
    for name, lead in found.leads.items():
        assert lead.endswith(".") and (name == "lineage" or "watch for" in lead), name


def test_the_page_allows_its_own_scripts_and_no_request(page):
    found = Page(page)
    policy = next(each["content"] for tag, each in found.tags if tag == "meta" and "http-equiv" in each)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "unsafe-inline" not in policy.split(";")[1]
    code = [data for name, data in found.scripts if name is None]
    assert len(code) == 2
    for script in code:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert [each for _, each in found.tags if "src" in each or each.get("href", "#")[0] != "#"] == []


def test_charts_have_descriptions_and_no_chart_has_rewards_of_two_objectives(page, every_run, small):
    charts = Page(page).charts
    assert len(charts) > 15
    assert all(len(chart["description"]) > 20 and chart["specs"] and chart["data"] for chart in charts)
    context = context_of(every_run, ReportOptions())
    found = [chart for block in learning(context).blocks if isinstance(block, Charts) for chart in block.drawn]
    rewards = [set(chart.data["data"]["series"]) for chart in found if "series" in chart.data["data"]]
    assert {"alpha (2 runs)"} in rewards and {"beta"} in rewards
    assert {"alpha (2 runs)", "beta"} not in rewards


def test_several_runs_of_a_name_are_a_mean_with_a_band(every_run, small):
    context = context_of(every_run, ReportOptions(), small.A)
    live, calls = [chart for block in learning(context).blocks if isinstance(block, Charts) for chart in block.drawn][
        :2
    ]
    rows = pl.DataFrame(live.data["data"]).filter(name="live", iteration=0).row(0, named=True)
    # 0.3 of the first run and 0.45 of the second one.
    assert (rows["low"], rows["mean"], rows["high"]) == (0.3, 0.375, 0.45)
    last = pl.DataFrame(calls.data["data"]).filter(name="best").row(-1, named=True)
    # The second run has ended after two calls with 0.6, which it keeps.
    assert (last["calls"], last["low"], last["mean"], last["high"]) == (5, 0.6, 0.75, 0.9)


def test_an_empty_store_says_why_each_section_is_empty(empty_store):
    with SampleStore.open(empty_store, read_only=True) as store:
        found = Page(make_report(store))
    assert len(found.empty) == len(SECTIONS)
    assert found.empty["runs"] == "The store has no run yet, as of this snapshot."
    assert (found.charts, len(found.scripts)) == ([], 2)


def test_a_store_without_rewards_still_has_its_funnel(store, small):
    from molbuffer.storage import Commit

    store.start_run(small.alpha("run-n", 1))
    store.commit(Commit([small.build("run-n", 0, ["CCO", None], {}), small.build("run-n", 1, ["CCN"], {})]))
    found = Page(make_report(store))
    assert set(found.empty) == {
        *("learning", "molecules", "diversity", "trade-offs", "space", "failures", "costs", "lineage"),
    }
    outcomes = next(chart for chart in found.charts if "drawn rows" in chart["description"])
    assert outcomes["description"] == "Of 3 drawn rows: kept without a reward 66.7%, no molecule 33.3%"


def test_rewards_of_pairs_are_apart_from_those_of_their_targets(store, small):
    """A training on pairs learns from rewards of pairs: its metrics belong to no objective of molecules."""
    from dataclasses import replace

    from molbuffer.storage import Commit, Reward

    config = json.dumps({"contrastive": {"min_similarity": 0.4}})
    store.start_run(replace(small.alpha("run-p", 1), config=config))
    for iteration in range(2):
        pairs = small.build("run-p", iteration, ["CCO", "CCC"], {0: 0.5, 1: 0.7}, source_smiles=["CCN", "CC"])
        rewards = [*pairs.rewards, *(Reward(row, small.B, -0.2) for row in range(2))]
        metrics = small.of_iteration(iteration, -0.2, -0.1, 2)
        store.commit(Commit([replace(pairs, rewards=rewards)], run_id="run-p", run_metrics=metrics))
    context = context_of(scope_of(store), ReportOptions())
    assert {each.sha256 for each in context.objectives} == {small.A, small.B}
    for objective, mean in ((small.A, 0.6), (small.B, -0.2)):
        only = context_of(scope_of(store), ReportOptions(), objective)
        charts = [each for block in learning(only).blocks if isinstance(block, Charts) for each in block.drawn]
        assert charts[0].data["data"]["mean"] == pytest.approx([mean, mean])
    notes = [block.text for block in what_was_run(context).blocks if isinstance(block, Note)]
    assert any("rewards of pairs" in note for note in notes)


def test_three_objectives_are_told_apart(store, small):
    from dataclasses import replace

    from molbuffer.storage import Commit

    objectives = [letter * 64 for letter in "def"]
    for at, sha256 in enumerate(objectives):
        definition = replace(small.DEFINITION, aggregation=f"mean-{at}")
        run = replace(small.alpha(f"run-{at}", at), objective_sha256=sha256, definition=definition)
        store.start_run(run)
        for iteration in range(2):
            store.commit(
                Commit([small.build(run.run_id, iteration, ["CCO", "CCC"], {0: 0.1, 1: 0.2}, objective=sha256)])
            )
    scope = scope_of(store)
    every = learning(context_of(scope, ReportOptions())).blocks
    assert {block.text for block in every if isinstance(block, Heading)} == {
        f"Under objective {sha256[:8]} (qed, mass)" for sha256 in objectives
    }
    only = context_of(scope, ReportOptions(), objective_named(scope, "run-1"))
    assert not any(isinstance(block, Heading) for block in learning(only).blocks)
    notes = [block.text for block in what_was_run(only).blocks if isinstance(block, Note)]
    assert notes[0].startswith("The mean-1 of the transformed values") and "mean-2" not in " ".join(notes)
    with pytest.raises(UnknownRunError, match=r"'alpha' must be the start .* got dddddddddddd, eeeeeeeeeeee, ffff"):
        objective_named(scope_of(store), "alpha")


def test_an_archive_in_a_file_tells_the_same(opened, every_run, tmp_path):
    opened.archive(tmp_path / "lab.tar")
    with trusted_archive(tmp_path / "lab.tar") as (archive, _):
        told = learning(context_of(scope_of(archive), ReportOptions()))
    assert told == learning(context_of(every_run, ReportOptions()))


def test_a_store_of_several_hosts_has_a_report(tmp_path, small, postgres_server, s3_environment):
    place = {"catalog": f"{postgres_server}/postgres", "catalog_schema": f"lab_{uuid4().hex}"}
    with SampleStore.create(tmp_path / "store", data_path=s3_environment, **place) as store:
        small.fill(store)
        context = context_of(scope_of(store), ReportOptions())
        found = [section(context) for section in (what_was_run, drawn_funnel, best)]
    assert [section.key for section in found if not section.blocks] == []


def test_a_molecule_that_is_named_is_followed(opened, small):
    scope = scope_of(opened)
    chain = lineage(context_of(scope, ReportOptions(molecule=small.CRESOL))).blocks[0]
    assert [(card.smiles, card.title) for card in chain.cards] == [
        (small.CRESOL, "the molecule"),
        (small.PHENOL, "1 before"),
    ]
    missing = lineage(context_of(scope, ReportOptions(molecule="C#N")))
    assert (missing.blocks, missing.empty) == ([], "No run of this report has drawn C#N in this form.")


def test_a_report_is_as_of_a_snapshot(opened):
    first = next(each.version for each in opened.snapshots() if "run-a2" in str(each))
    found = what_was_run(context_of(scope_of(opened, snapshot=first), ReportOptions()))
    assert [row[1].text for row in found.blocks[0].rows] == ["run-a1", "run-a2"]


def test_no_text_ends_the_element_of_the_data(small):
    text = json_in_html({"a": list(small.HOSTILE)})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text)["a"] == list(small.HOSTILE)
    assert columns_of(pl.DataFrame({"x": [0.123456789, float("nan"), None]})) == {"x": [0.12346, None, None]}


def test_labels_are_short_and_differ(small):
    texts = [*small.HOSTILE, "a" * 100, "a" * 101, "", " "]
    labels = short_labels(texts)
    assert list(labels) == texts
    assert len(set(labels.values())) == len(texts)
    assert max(map(len, labels.values())) <= 32
    # Components of one kind differ at the end.
    alike = short_labels([f"similarity:Cc1ccc(-c2cc(C(F)(F)F)nn2)cc1{end}" for end in ("CN", "CO")], 24)
    assert [label[-2:] for label in alike.values()] == ["CN", "CO"] and max(map(len, alike.values())) == 24


def test_runs_of_one_name_are_told_apart_by_their_ids_and_have_one_colour(store, small):
    runs = [replace(small.alpha(run_id, 1), kind=kind) for run_id, kind in KINDS_OF_RUNS.items()]
    for run in runs:
        store.start_run(run)
        metrics = [(at, Metric(name, 0.5)) for at in range(2) for name in ("loss", "policy_lag", "reward_buffer")]
        drawn = [small.build(run.run_id, 0, ["CCO"], {0: 0.2})] if run.kind is RunKind.TRAIN else []
        store.commit(Commit(drawn, run_id=run.run_id, run_metrics=metrics))
    context = context_of(scope_of(store), ReportOptions())
    assert context.all_groups == ["alpha aaaaaaaa", "alpha bbbbbbbb"]
    charts = next(block for block in learning(context).blocks if isinstance(block, Charts)).drawn
    texts = {chart.title: json.dumps(chart.specs) for chart in charts}
    # What its batches lag behind is no matter of a run that draws nothing.
    lag = texts["Policy lag of stored rows"]
    assert "alpha aaaaaaaa" in lag and "alpha bbbbbbbb" not in lag
    assert '"range": ["#0072B2", "#E69F00"]' in texts["Loss"] and '"range": ["#0072B2"]' in lag


KINDS_OF_RUNS = {"a" * 32: RunKind.TRAIN, "b" * 32: RunKind.OFFLINE}


def test_sentences_have_code_and_unbroken_options_and_no_markup_of_a_store():
    said = _worded("`molbuffer rescore` tries lost ones, with --failed <b>`x`</b>, too")
    assert said == (
        "<code>molbuffer rescore</code> tries lost ones, with <code>--failed</code> &lt;b&gt;<code>x</code>"
        "&lt;/b&gt;, too"
    )


def test_a_long_component_leaves_the_molecules_in_sight(store, small):
    name = "similarity:" + "c1ccccc1" * 10
    parts = (replace(small.PARTS[0], component=name), small.PARTS[1])
    store.start_run(replace(small.alpha("long", 1), definition=ObjectiveDefinition("product", parts)))
    scores = [Score("CCO", name, "v1", 0.5), Score("CCO", "mass", "v2", 46.0)]
    store.commit(Commit([small.build("long", 0, ["CCO"], {0: 0.2}, scores=scores)]))
    (card,) = next(
        block for block in best(context_of(scope_of(store), ReportOptions())).blocks if isinstance(block, Cards)
    ).cards
    table = next(
        block for block in best(context_of(scope_of(store), ReportOptions())).blocks if isinstance(block, Table)
    )
    assert table.columns[2] == "SMILES" and max(map(len, table.columns)) <= 24
    assert list(table.whole.values()) == [name] == list(card.whole.values())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (12.34, "12.3 s"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_times_are_written_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_runs_are_compared_over_the_calls_that_all_have_made(every_run, small):
    found = compare_runs(scope_of(every_run.store, ["alpha"]))
    assert found.rows["best reward"] == [0.9, 0.6]
    assert found.rows["ten best after 2 calls"] == pytest.approx([0.4, 0.45])
    assert found.rows["kept of the drawn"] == [0.8, 1.0]
    assert (found.differences, found.note) == ({"campaign.seed": [1, 2]}, "")
    mixed = compare_runs(every_run)
    assert "cannot be compared" in mixed.note
    assert not any("reward" in row or "best" in row for row in mixed.rows if row != "rewarded of the kept")


def test_the_example_of_the_documentation_runs(small_store, capsys):
    text = (Path(__file__).parents[3] / "docs" / "how-to" / "report.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    told: dict[str, object] = {}
    exec(example.replace('"lab"', repr(str(small_store))).replace('"demo"', '"alpha"'), told)
    assert capsys.readouterr().out.splitlines()[0].startswith("Oc1ccccc1 0.9 live 1")
    assert str(told["page"]).startswith("<!doctype html>")
