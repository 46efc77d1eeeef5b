# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer as a marimo notebook; ``molbuffer explore --store lab --edit mine.py`` makes a copy of it to change."""

import marimo

app = marimo.App(width="full", app_title="molbuffer")


@app.cell
def _():
    import marimo as mo

    from molbuffer.pages import explorer as ex

    STORE = "lab"
    # The style must come before the elements that use it.
    mo.Html(ex.style())
    return STORE, ex, mo


@app.cell
def _(STORE, ex, mo):
    # The store, the choices of the reader, and the states on whose changes cells run again.
    view = ex.StoreView(STORE)
    first = view.newest()
    session = ex.Session(first, view.choices(first))
    get_snapshot, set_snapshot = mo.state(first)
    get_choices, set_choices = mo.state(view.choices(first))
    get_tab, set_tab = mo.state(("Molecules", 0))
    get_molecule, set_molecule = mo.state("")
    get_turned, set_turned = mo.state(0)
    get_marked, set_marked = mo.state(0)
    get_cleared, set_cleared = mo.state(0)

    def open_molecule(smiles):
        set_molecule(smiles)
        set_tab(lambda tab: ("Molecule", tab[1] + 1))

    def turn(pages):
        session.turn(pages)
        set_turned(lambda times: times + 1)

    def mark():
        set_marked(lambda times: times + 1)

    def clear():
        session.selection.clear()
        set_cleared(lambda times: times + 1)
        mark()

    return (
        clear,
        get_choices,
        get_cleared,
        get_marked,
        get_molecule,
        get_snapshot,
        get_tab,
        get_turned,
        mark,
        open_molecule,
        session,
        set_choices,
        set_snapshot,
        turn,
        view,
    )


@app.cell
def _(mo):
    clock = mo.ui.refresh(options=["2s", "5s", "30s"], default_interval="5s")
    return (clock,)


@app.cell
def _(clock, ex, mo, session, set_choices, set_snapshot, view):
    # Follow the store. Cells that read the snapshot or the list of runs run again only when these have changed.
    clock.value
    news = session.news(view)
    if news.snapshot is not None:
        set_snapshot(news.snapshot)
    if news.choices is not None:
        set_choices(news.choices)
    mo.Html(ex.block(ex.error(news.error))) if news.error else None
    return


@app.cell
def _(clock, ex, get_snapshot, mo, view):
    mo.hstack([mo.Html(ex.title(view.path, get_snapshot())), clock], wrap=True, align="center")
    return


@app.cell
def _(get_tab, mo):
    tab = mo.ui.tabs(dict.fromkeys(["Molecules", "Molecule", "Runs", "Live", "Query"], ""), value=get_tab()[0])
    tab
    return (tab,)


@app.cell
def _(get_choices, mo):
    choices = get_choices()
    objective = mo.ui.dropdown(choices.objectives, value=next(iter(choices.objectives), None), label="Objective")
    runs = mo.ui.multiselect(choices.runs, label="Runs (none: all)")
    return choices, objective, runs


@app.cell
def _(ex, mo):
    where = mo.ui.text(placeholder="reward > 0.7 AND iteration > 10", label="Condition in SQL", full_width=True)
    order = mo.ui.dropdown([str(each) for each in ex.Order], value=str(ex.Order.BEST), label="Order")
    return order, where


@app.cell
def _(get_snapshot, objective, runs, view):
    scope = view.scope(get_snapshot(), runs.value)
    known = {each.sha256: each for each in view.objectives(view.scope(get_snapshot()))}.get(objective.value)
    names = [component.name for component in known.components] if known else []
    return names, scope


@app.cell
def _(ex, mo, names):
    labelled = ex.by_label(names)
    # No component is chosen at first: reading all values of a million molecules takes a minute.
    x = mo.ui.dropdown(labelled, label="Chart of")
    y = mo.ui.dropdown(labelled, label="and")
    return x, y


@app.cell
def _(mo, names, objective, order, runs, tab, where, x, y):
    mo.stop(tab.value != "Molecules")
    axes = [x, y] if len(names) > 1 else []
    mo.vstack([mo.hstack([objective, runs, order, *axes], wrap=True, justify="start", align="end"), where])
    return


@app.cell
def _(ex, mo, names, objective, scope, session, tab, x, y):
    mo.stop(tab.value != "Molecules")
    charts = mo.ui.array(ex.molecule_charts(session, scope, objective.value, names, x.value, y.value))
    hint = mo.Html(ex.block(ex.note(ex.HINT)))
    mo.vstack([hint, mo.hstack(list(charts), widths="equal", wrap=True)]) if len(charts) else None
    return (charts,)


@app.cell
def _(charts, ex, objective, order, session, where, x, y):
    wanted = ex.filter_of(session, objective.value, where.value, order.value, list(charts), x.value, y.value)
    return (wanted,)


@app.cell
def _(ex, get_cleared, get_turned, mark, mo, open_molecule, scope, session, tab, wanted):
    mo.stop(tab.value != "Molecules")
    get_cleared(), get_turned()
    found = ex.find_or_say(session, scope, wanted)
    mo.stop(found.page is None, mo.Html(ex.block(ex.error(found.error))))
    cards = ex.Cards(found.page.molecules, session.selection, open_molecule, mark, found.page.first)
    buttons = mo.ui.array(cards.buttons())
    return buttons, cards, found


@app.cell
def _(ex, found, mo, session, turn, wanted):
    back = mo.ui.button(label="Previous", on_change=lambda _: turn(-1), disabled=not session.page)
    on = mo.ui.button(label="Next", on_change=lambda _: turn(1), disabled=session.is_last(found.page))
    mo.hstack([mo.Html(ex.found_title(found.page, wanted)), back, on], wrap=True, justify="start")
    return


@app.cell
def _(clear, ex, found, get_marked, mo, scope, session, wanted):
    get_marked()
    downloads = [
        mo.download(
            lambda write=write: write(session.exported(scope, wanted)),
            f"molecules.{ending}",
            kind,
            label=ending.upper(),
        )
        for ending, (write, kind) in ex.FORMATS.items()
    ]
    forget = mo.ui.button(label="Clear", on_change=lambda _: clear(), disabled=not len(session.selection))
    said = mo.Html(ex.block(ex.note(ex.export_title(session, found.page))))
    mo.hstack([said, *downloads, forget], wrap=True, justify="start", align="center")
    return


@app.cell
def _(buttons, cards):
    cards.shown(buttons)
    return


@app.cell
def _(ex, get_molecule, mo, objective, scope, tab):
    mo.stop(tab.value != "Molecule")
    mo.stop(not get_molecule(), mo.Html(ex.block(ex.note("Open a molecule among Molecules."))))
    mo.Html(ex.molecule_details(scope, get_molecule(), objective.value))
    return


@app.cell
def _(ex, get_molecule, mark, mo, objective, open_molecule, scope, session, tab):
    mo.stop(tab.value != "Molecule" or not get_molecule() or objective.value is None)
    nearest = ex.neighbours_of(session, scope, objective.value, get_molecule())
    near_cards = ex.Cards(nearest.molecules, session.selection, open_molecule, mark, titles=nearest.titles)
    near_buttons = mo.ui.array(near_cards.buttons())
    return near_buttons, near_cards, nearest


@app.cell
def _(mo, near_buttons, near_cards, nearest):
    mo.vstack([mo.Html(nearest.note), near_cards.shown(near_buttons)])
    return


@app.cell
def _(choices, ex, mo, tab):
    mo.stop(tab.value != "Runs")
    some = mo.ui.multiselect(
        choices.runs, value=list(choices.runs)[:2], label="Runs beside each other", max_selections=ex.MOST_RUNS
    )
    some
    return (some,)


@app.cell
def _(ex, get_snapshot, mo, some, view):
    mo.stop(not some.value, mo.Html(ex.block(ex.note("Choose runs."))))
    beside = view.scope(get_snapshot(), some.value)
    mo.vstack([mo.Html(ex.comparison(beside)), *map(ex.drawn_chart, ex.comparison_charts(beside))])
    return


@app.cell
def _(choices, mo, tab):
    mo.stop(tab.value != "Live")
    watched = mo.ui.dropdown(choices.runs, value=next(iter(choices.runs), None), label="Run")
    watched
    return (watched,)


@app.cell
def _(ex, get_snapshot, mark, mo, open_molecule, session, view, watched):
    mo.stop(watched.value is None, mo.Html(ex.block(ex.note("The store has no run yet."))))
    going = view.scope(get_snapshot(), [watched.value])
    newest = ex.find_molecules(going, ex.MoleculeFilter(order=ex.Order.NEWEST), size=8)
    new_cards = ex.Cards(newest.molecules, session.selection, open_molecule, mark)
    new_buttons = mo.ui.array(new_cards.buttons())
    return going, new_buttons, new_cards


@app.cell
def _(ex, going, mo, new_buttons, new_cards):
    newest_title = mo.Html(ex.block(ex.heading("Newest molecules")) if new_cards.molecules else ex.draws_nothing(going))
    drawn = map(ex.drawn_chart, ex.live_charts(going))
    mo.vstack([mo.Html(ex.live_status(going)), *drawn, newest_title, new_cards.shown(new_buttons)])
    return


@app.cell
def _(ex, mo):
    query = mo.ui.text_area(value=ex.EXAMPLE, rows=6, full_width=True, label="One SELECT").form(
        submit_button_label="Run"
    )
    return (query,)


@app.cell
def _(mo, query, tab):
    mo.stop(tab.value != "Query")
    query
    return


@app.cell
def _(ex, mo, query, tab, view):
    mo.stop(tab.value != "Query" or query.value is None)
    answer = ex.run_query(view.store, query.value, view.newest())
    saved = mo.download(answer.csv, "query.csv", "text/csv", label="CSV", disabled=answer.rows is None)
    mo.vstack([mo.Html(answer.html()), saved], align="start")
    return


if __name__ == "__main__":
    app.run()
