"""Explore a store: its runs, its best molecules, and how rewards developed; a marimo notebook.

    pip install 'molbuffer[explore]'
    marimo edit examples/explore.py -- --store lab      # in the browser, each cell runs again when its inputs change
    python examples/explore.py --store lab              # as a script, which prints the tables

The notebook only reads the store, and needs no network.
"""

import marimo

app = marimo.App(width="medium", app_title="molbuffer")


@app.cell
def _():
    import marimo as mo
    import polars as pl

    import molbuffer as mb

    return mb, mo, pl


@app.cell
def _(mb, mo):
    store = mo.cli_args().get("store") or "demo-store"
    lab = mb.open(str(store), read_only=True)
    mo.md(f"# The store `{lab.store.path}`")
    return (lab,)


@app.cell
def _(lab, mo):
    runs = lab.runs().select("name", "kind", "status", "samples", "kept", "mean_reward", "iterations", "run_id")
    mo.vstack([mo.md("## Runs"), mo.ui.table(runs.to_dicts(), selection=None)])
    return (runs,)


@app.cell
def _(mo, runs):
    # The choices are the runs, by name and id, and "all" for every run.
    choices = {"all": None} | {f"{name} {run_id[:8]}": run_id for name, run_id in runs["name", "run_id"].rows()}
    chosen = mo.ui.dropdown(choices, value="all", label="Run")
    least = mo.ui.slider(0.0, 1.0, step=0.05, value=0.0, label="Least reward", show_value=True)
    mo.hstack([chosen, least], justify="start")
    return chosen, least


@app.cell
def _(chosen, lab, least, pl):
    # polars reads only the columns and rows that the cells below need.
    history = lab.history().filter(pl.col("kept") & (pl.col("reward") >= least.value))
    if chosen.value is not None:
        history = history.filter(pl.col("run_id") == chosen.value)
    return (history,)


@app.cell
def _(history, mo, pl):
    best = (
        history.group_by("smiles", "objective_sha256")
        .agg(pl.col("reward").max(), pl.col("sampler").first(), pl.len().alias("drawn"))
        .sort("reward", "smiles", descending=[True, False])
        .head(20)
        .collect()
    )
    mo.vstack([mo.md("## The best molecules"), mo.ui.table(best.to_dicts(), selection=None)])
    return (best,)


@app.cell
def _(history, mo, pl):
    by_iteration = (
        history.group_by("run_name", "iteration", "sampler")
        .agg(pl.len().alias("rows"), pl.col("reward").mean(), pl.col("smiles").n_unique().alias("molecules"))
        .sort("run_name", "iteration", "sampler")
        .collect()
    )
    mo.vstack([mo.md("## Rewards by iteration"), mo.ui.table(by_iteration.to_dicts(), selection=None)])
    return (by_iteration,)


@app.cell
def _(lab, mo, pl):
    rejected = lab.history().group_by("sampler", "rejected_by").agg(pl.len().alias("rows")).collect()
    rejected = rejected.sort("sampler", "rows", descending=[False, True])
    mo.vstack([mo.md("## What was rejected, and why"), mo.ui.table(rejected.to_dicts(), selection=None)])
    return (rejected,)


@app.cell
def _(best, by_iteration, mo, rejected, runs):
    # A script has no page for the tables, and prints them instead.
    if mo.app_meta().mode == "script":
        for table in (runs, best, by_iteration, rejected):
            print(table)
    return


if __name__ == "__main__":
    app.run()
