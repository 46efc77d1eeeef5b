"""What the explorer finds, says and exports, without a browser."""

import csv
import io
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from rdkit import Chem

from molbuffer.pages import scope_of
from molbuffer.pages.explorer import (
    Cards,
    Interval,
    MoleculeFilter,
    Neighbourhood,
    Order,
    Selection,
    Session,
    StoreView,
    as_csv,
    as_sdf,
    as_smiles,
    comparison,
    comparison_charts,
    drawn_box,
    drawn_chart,
    draws_nothing,
    find_molecules,
    live_charts,
    live_status,
    molecule_details,
    run_query,
    style,
    title,
)
from molbuffer.pages.explorer.elements import reward_points, tradeoff_points
from molbuffer.pages.explorer.page import export_title, filter_of, find_or_say, found_title, neighbours_of
from molbuffer.pages.facts.sample import sample_molecules
from molbuffer.pages.facts.tradeoffs import tradeoffs
from molbuffer.storage import Commit, Metric, RunKind, SampleStore, StoreError, StoreNotFoundError

SHARED = {"CCO", "CCC", "CCCC", "Oc1ccccc1"}


def smiles_of(page):
    return [molecule.smiles for molecule in page.molecules]


def of_alpha(small, **changes):
    return MoleculeFilter(small.A, **changes)


def test_molecules_are_found_once_the_best_first(every_run, small):
    page = find_molecules(every_run, of_alpha(small))
    assert smiles_of(page) == [small.PHENOL, "CCC", "CCCC", "CCO"]
    assert (page.total, page.first) == (4, 0)
    ccc = page.molecules[1]
    assert (ccc.reward, ccc.iteration, ccc.run_name, ccc.sampler, ccc.times_drawn) == (0.6, 0, "alpha", "live", 3)


def test_the_newest_of_one_commit_are_those_of_its_last_rows(store, small):
    store.start_run(small.alpha("run-n", 1))
    drawn = [["CCO", "CCN"], ["CCC", "CCO", "CCF"]]
    builds = [
        small.build("run-n", at, smiles, dict.fromkeys(range(len(smiles)), 0.5)) for at, smiles in enumerate(drawn)
    ]
    store.commit(Commit(builds))
    found = find_molecules(scope_of(store), MoleculeFilter(order=Order.NEWEST)).molecules
    assert [each.smiles for each in found] == ["CCF", "CCC", "CCN", "CCO"]


def test_pages_follow_each_other(every_run, small):
    page = find_molecules(every_run, of_alpha(small), page=1, size=3)
    assert (smiles_of(page), page.total, page.first) == (["CCO"], 4, 3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"where": "iteration = 1"}, ["Oc1ccccc1", "CCC"]),
        ({"where": "smiles LIKE '%O%' -- a comment"}, ["Oc1ccccc1", "CCO"]),
        ({"reward": Interval(0.25, 0.6)}, ["CCC", "CCCC"]),
        ({"iteration": Interval(0.5, 1.5)}, ["Oc1ccccc1"]),
        ({"components": {"mass": Interval(0.25, 0.5)}}, ["Oc1ccccc1", "CCCC"]),
        ({"components": {"mass": Interval(0.25, 0.5)}, "where": "reward > 0.5"}, ["Oc1ccccc1"]),
        ({"order": Order.OFTEN}, ["CCC", "CCO", "CCCC", "Oc1ccccc1"]),
    ],
)
def test_filters_leave_what_they_say(every_run, small, changes, found):
    assert smiles_of(find_molecules(every_run, of_alpha(small, **changes))) == found


def test_some_runs_and_no_objective(opened, small):
    second = scope_of(opened, [small.SECOND])
    assert smiles_of(find_molecules(second, of_alpha(small))) == ["CCC", "CCCC"]
    kept = find_molecules(scope_of(opened, [small.FIRST]), MoleculeFilter())
    assert set(smiles_of(kept)) == {"CCO", "CCC", small.PHENOL, "CCCl", "CCBr", small.CRESOL}


@pytest.mark.parametrize("where", ["reward >", "true; DROP TABLE samples", "smiles IN (SELECT 1)", "no_such = 1"])
def test_a_condition_that_is_none_is_an_error_that_says_so(every_run, small, where):
    with pytest.raises(StoreError):
        find_molecules(every_run, of_alpha(small, where=where))
    said = find_or_say(Session(0, SimpleNamespace()), every_run, of_alpha(small, where=where))
    assert said.page is None and len(said.error) > 20


def test_a_box_of_vega_is_two_intervals():
    selections = {"box": {"iteration": [7.5, 2], "reward": [0.1, 0.4]}, "vlPoint": 3}
    assert drawn_box(selections, "iteration", "reward") == (Interval(2, 7.5), Interval(0.1, 0.4))
    assert drawn_box({}, "iteration", "reward") == drawn_box({"box": {}}, "x", "y") == (None, None)


def test_a_box_outlasts_the_chart_that_a_snapshot_replaces_but_not_its_axes():
    session, box = Session(0, SimpleNamespace()), (Interval(0, 1), Interval(2, 3))
    chart = SimpleNamespace(selections={})
    assert session.box("rewards", "a", "x", "y", chart) == (None, None)
    chart.selections = {"box": {"x": [0, 1], "y": [2, 3]}}
    assert session.box("rewards", "a", "x", "y", chart) == box
    replaced = SimpleNamespace(selections={})
    assert session.kept_box("rewards", "a") == session.box("rewards", "a", "x", "y", replaced) == box
    assert session.box("rewards", "b", "x", "y", replaced) == (None, None)


def test_a_filter_has_the_boxes_that_are_drawn_on_its_charts(every_run, small):
    import marimo as mo

    sample = sample_molecules(every_run, small.A, 100)
    charts = mo.ui.array([mo.ui.altair_chart(reward_points(sample), chart_selection=False, legend_selection=False)])
    session = Session(0, SimpleNamespace())
    assert filter_of(session, small.A, "", "best reward", list(charts), None, None) == of_alpha(small)
    charts._update({"0": {"box": {"iteration": [0, 1.5], "reward": [0.3, 0.15]}}})
    wanted = filter_of(session, small.A, "", "newest", list(charts), None, None)
    assert wanted == of_alpha(small, reward=Interval(0.15, 0.3), iteration=Interval(0, 1.5), order=Order.NEWEST)


def test_another_filter_begins_at_the_first_page(every_run, small, monkeypatch):
    monkeypatch.setattr("molbuffer.pages.explorer.grid.PAGE", 3)
    session = Session(0, SimpleNamespace())
    session.find(every_run, of_alpha(small))
    session.turn(1)
    assert session.page == 1
    assert session.find(every_run, of_alpha(small)).first == 0  # There is no second page of 24.
    session.turn(1)
    session.find(every_run, of_alpha(small, where="kept"))
    assert session.page == 0


def test_a_store_is_followed_while_others_write_to_it(tmp_path, small):
    path = small.make_small(tmp_path / "store")
    view = StoreView(path)
    first, choices = view.newest(), view.choices(view.newest())
    session = Session(first, choices)
    assert list(choices.runs.values()) == [small.THIRD, small.SECOND, small.FIRST]
    assert set(choices.objectives.values()) == {small.A, small.B}
    assert session.news(view).snapshot is None
    with SampleStore.open(path) as store:
        store.commit(Commit([small.build(small.SECOND, 1, ["CCCCO"], {0: 0.95})]))
        news = session.news(view)
        assert (news.snapshot, news.choices) == (store.snapshot(), None)
        store.start_run(replace(small.alpha("run-new", 4), name="new"))
        assert next(iter(session.news(view).choices.runs.values())) == "run-new"
    best = find_molecules(view.scope(view.newest()), of_alpha(small)).molecules[0]
    assert (best.smiles, best.reward) == ("CCCCO", 0.95)
    assert smiles_of(find_molecules(view.scope(first), of_alpha(small)))[0] == small.PHENOL
    view.close()


def test_there_must_be_a_store(tmp_path):
    with pytest.raises(StoreNotFoundError):
        StoreView(tmp_path / "none")


def test_an_empty_store_has_nothing_to_choose_from(tmp_path):
    SampleStore.create(tmp_path / "store").close()
    view = StoreView(tmp_path / "store")
    choices, scope = view.choices(view.newest()), view.scope(view.newest())
    assert (choices.runs, choices.objectives) == ({}, {})
    assert find_molecules(scope, MoleculeFilter()).total == 0
    assert "no run" in live_status(scope) and live_charts(scope) == comparison_charts(scope) == []
    view.close()


def test_an_archive_can_be_looked_at(tmp_path, opened, small):
    opened.archive(tmp_path / "archive")
    view = StoreView(tmp_path / "archive")
    assert find_molecules(view.scope(view.newest()), of_alpha(small)).total == 4
    view.close()


def test_everything_that_is_known_of_a_molecule(every_run, small):
    said = molecule_details(every_run, small.CRESOL, small.A)
    for part in ("mutation", "made of", small.PHENOL, "<svg", "kids", "Descent", "1 back"):
        assert part in said or part == "mutation"
    failed = molecule_details(every_run, "CCCl", small.A)
    assert "no force field for CCCl in 3 tries" in failed and "failed" in failed
    drawn = molecule_details(every_run, "CCC", small.A)
    assert drawn.count("<td>sample_batch</td>") == 2 and "11111111" in drawn and "3 times" in drawn


def test_neighbours_are_the_most_similar_without_the_molecule_itself(every_run, small):
    around = Neighbourhood()
    found = around.nearest(every_run, small.A, "CCC")
    assert next(each.nearest for each in found) == "CCCC" and "CCC" not in [each.nearest for each in found]
    assert [each.similarity for each in found] == sorted((each.similarity for each in found), reverse=True)
    assert (around.compared, around.total) == (4, 4)
    few = Neighbourhood(most=2)
    assert len(few.nearest(every_run, small.A, "CCCCC")) == few.compared == 2 and few.total == 4
    assert few.nearest(every_run, small.A, "no molecule") == []
    cards = neighbours_of(Session(0, SimpleNamespace()), every_run, small.A, "CCC")
    assert cards.molecules[0].smiles == "CCCC" and cards.titles[0].startswith("similarity 0.")


def test_a_selection_is_exported_in_three_formats(every_run, small):
    molecules = find_molecules(every_run, of_alpha(small)).molecules
    selection = Selection()
    for molecule in molecules[:2]:
        selection.mark(molecule, True)
    selection.mark(molecules[0], False)
    assert selection.molecules() == [molecules[1]] and "CCC" in selection
    rows = list(csv.DictReader(io.StringIO(as_csv(molecules).decode())))
    assert [(row["smiles"], row["reward"]) for row in rows][:2] == [(small.PHENOL, "0.9"), ("CCC", "0.6")]
    assert as_smiles(molecules).decode().split() == smiles_of(SimpleNamespace(molecules=molecules))
    supplier = Chem.SDMolSupplier()
    supplier.SetData(as_sdf(molecules).decode())
    assert [float(each.GetProp("reward")) for each in supplier] == [0.9, 0.6, 0.3, 0.2]
    session = Session(0, SimpleNamespace())
    assert len(session.exported(every_run, of_alpha(small))) == 4
    session.selection.mark(molecules[3], True)
    assert session.exported(every_run, of_alpha(small)) == [molecules[3]]
    page = find_molecules(every_run, of_alpha(small))
    assert export_title(session, page) == "Export the 1 selected:"
    assert "1 to 4 of 4, filtered by reward from 0 to 1" in found_title(page, of_alpha(small, reward=Interval(0, 1)))


def test_queries_are_answered_or_say_what_is_wrong(opened):
    good = run_query(opened, "SELECT run_name, count(*) AS n FROM sample_history GROUP BY ALL ORDER BY n", None)
    assert good.rows.rows() == [("beta", 2), ("alpha", 12)] and "2 rows" in good.html()
    assert good.csv().decode().splitlines()[0] == "run_name,n"
    assert run_query(opened, "SELECT [1, 2] AS both", None).csv().decode().splitlines()[1] == '"[1, 2]"'
    for wrong in ("DELETE FROM samples", "SELECT * FROM no_such", "SELECT * FROM '/etc/passwd'"):
        bad = run_query(opened, wrong, None)
        assert bad.rows is None and 'role="alert"' in bad.html() and bad.csv() == b""


def _scale_of_runs(spec):
    return next(layer["encoding"]["color"]["scale"] for layer in spec["layer"] if "color" in layer["encoding"])


def test_runs_are_beside_each_other_and_one_as_it_goes_on(opened, small):
    both = scope_of(opened, [small.FIRST, small.SECOND])
    said = comparison(both)
    assert "campaign.seed" in said and "oracle calls" in said
    charts = comparison_charts(both)
    assert len(charts) == 2
    drawn = [drawn_chart(chart).to_dict() for chart in charts]
    assert all(each["datasets"]["data"] for each in drawn)
    # Each run has one colour, and the order of the table.
    scales = [_scale_of_runs(each) for each in drawn]
    assert scales[0] == scales[1] and scales[0]["domain"] == ["alpha run-a1", "alpha run-a2"]
    assert comparison_charts(scope_of(opened)) == []  # Of two objectives.
    status = live_status(scope_of(opened, [small.FIRST]))
    assert "5 of 10" in status and "finished" in status
    assert len(live_charts(scope_of(opened, [small.FIRST]))) == 2


def test_a_run_that_only_learns_shows_what_it_learnt(store, small):
    run = replace(small.alpha("off", 1), kind=RunKind.OFFLINE, config='{"offline": {"steps": 9}}')
    store.start_run(run)
    metrics = [(at, Metric(name, 0.25)) for at in range(4) for name in ("loss", "reward_buffer")]
    store.commit(Commit(run_id="off", run_metrics=metrics))
    scope = scope_of(store)
    said = live_status(scope)
    assert "4 of 9" in said and "0.25" in said and "last change (UTC)" in said and "drawn" not in said
    assert [chart.title for chart in live_charts(scope)] == ["Reward of rows: stored", "Loss"]
    assert "learns from rows that the store has" in draws_nothing(scope)


def test_charts_keep_the_box_that_was_drawn(every_run, small):
    sample = sample_molecules(every_run, small.A, 100)
    box = (Interval(0, 1), Interval(0.25, 0.5))
    spec = reward_points(sample, box).to_dict()
    assert spec["params"][0]["value"] == {"x": [0, 1], "y": [0.25, 0.5]}
    assert "value" not in reward_points(sample).to_dict()["params"][0]
    found = tradeoffs(every_run, small.A, ["qed", "mass"])
    spec = tradeoff_points(found, "mass", "qed").to_dict()
    assert (spec["encoding"]["x"]["title"], spec["encoding"]["y"]["title"]) == ("mass", "qed")


class Elements(HTMLParser):
    """The elements of a piece of HTML, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.said, self.attributes = set(), "", set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.said += data


@pytest.fixture(scope="module")
def hostile(small, tmp_path_factory):
    with SampleStore.open(small.make_hostile(tmp_path_factory.mktemp("x") / "store"), read_only=True) as store:
        yield store


def test_the_style_reaches_the_elements_of_marimo_and_a_card_opens_by_its_picture(every_run, small):
    assert '<style title="marimo-custom">' in style()
    found = find_molecules(every_run, of_alpha(small), size=1).molecules
    cards = Cards(found, Selection(), lambda smiles: None, lambda: None)
    shown = cards.shown([SimpleNamespace(text="<a>open</a>"), SimpleNamespace(text="<a>mark</a>")]).text
    assert '<span class="mb-opener"><a>open</a></span><a>mark</a>' in shown


def test_hostile_texts_are_texts_in_every_piece(hostile, small, monkeypatch):
    scope = scope_of(hostile)
    molecules = find_molecules(scope, MoleculeFilter(small.A)).molecules
    assert set(small.HOSTILE) < {molecule.smiles for molecule in molecules}
    wanted = MoleculeFilter(small.A, where=small.HOSTILE[1], components={small.HOSTILE[0]: Interval(0, 1)})
    session = Session(0, SimpleNamespace())
    buttons = [SimpleNamespace(text="")] * 2 * len(molecules)
    pieces = [
        Cards(molecules, Selection(), print, print).shown(buttons).text,
        *(molecule_details(scope, text, small.A) for text in small.HOSTILE),
        comparison(scope),
        live_status(scope),
        title(SimpleNamespace(name=small.HOSTILE[0]), 1),
        found_title(find_molecules(scope, MoleculeFilter(small.A)), wanted),
        find_or_say(session, scope, replace(wanted, where=small.HOSTILE[0])).error and "",
        run_query(hostile, "SELECT DISTINCT smiles, run_name FROM samples, runs", None).html(),
        run_query(hostile, f'SELECT "{small.HOSTILE[1].replace(chr(34), "")}"', None).html(),
    ]
    for piece in pieces:
        found = Elements(piece)
        assert found.tags <= ALLOWED, found.tags - ALLOWED
        assert not any(name.startswith("on") for name in found.attributes)
    assert small.HOSTILE[0] in Elements(pieces[0]).said
    assert "characters more" in pieces[7]


ALLOWED = {
    *("div", "ul", "li", "p", "h1", "h2", "dl", "dt", "dd", "span", "table", "caption", "thead", "tbody", "tr", "th"),
    *("td", "svg", "path", "rect", "title", "g", "ellipse"),
}
