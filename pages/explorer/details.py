"""The details of one molecule as HTML: its values, scores, draws, descent, policies and neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from molbuffer.pages.explorer import html
from molbuffer.pages.explorer.grid import molecule_values
from molbuffer.pages.facts import SHORT_ID, Neighbour, Scope, descent, draws_of, policy_descent, scores_of
from molbuffer.pages.pictures import core_of, picture

MOST_DRAWS = 100
MOST_POLICIES = 30


def molecule_details(scope: Scope, smiles: str, objective_sha256: str | None) -> str:
    """Return the details of a molecule in a store, as HTML.

    Args:
        scope: the runs whose draws are shown; scores are those of all runs.
        smiles: the canonical SMILES of the molecule.
        objective_sha256: the objective whose components are shown; None shows no components.
    """
    drawn = draws_of(scope, smiles, MOST_DRAWS)
    rewards = drawn["reward"].drop_nulls()
    facts = {
        "best reward": rewards.max() if len(rewards) else None,
        "drawn": _times(len(drawn)),
        "first run": drawn["run_name"][0] if len(drawn) else None,
        "first iteration": drawn["iteration"][0] if len(drawn) else None,
        "first sampler": drawn["sampler"][0] if len(drawn) else None,
    }
    drawing = html.cards([html.card(picture(smiles, width=360, height=260), "", {}, smiles)])
    values = "" if objective_sha256 is None else _values(scope, objective_sha256, smiles)
    parts = [f'<div class="mb-molecule">{drawing}<div>{html.numbers(facts)}{values}</div></div>']
    parts += [_scores(scope, smiles), _draws(drawn.rows(named=True)), *_descent(scope, smiles)]
    policy = next((each for each in drawn["policy_sha256"].to_list() if each is not None), None)
    if policy is not None:
        parts.append(_policies(scope, policy))
    return html.block(*parts)


def _times(rows: int) -> str:
    if rows == MOST_DRAWS:
        return f"{MOST_DRAWS:,} times or more"
    return "once" if rows == 1 else f"{rows:,} times"


def _values(scope: Scope, objective_sha256: str, smiles: str) -> str:
    rows = molecule_values(scope, objective_sha256, smiles).rows()
    caption = "Components of the reward"
    return html.table(caption, ("component", "raw value", "transformed", "status"), rows)


def _scores(scope: Scope, smiles: str) -> str:
    rows = [
        (row["component"], row["version"][:SHORT_ID], row["value"], row["std"], row["status"], row["error"],
         row["seconds"], row["run_name"], row["created"])
        for row in scores_of(scope, smiles).rows(named=True)
    ]  # fmt: skip
    columns = ("component", "version", "value", "sd", "status", "error", "seconds", "run", "when (UTC)")
    return html.table("All scores of the molecule, of any run, the oldest first", columns, rows)


def _draws(drawn: Sequence[dict[str, object]]) -> str:
    rows = [
        (row["run_name"], str(row["run_id"])[:SHORT_ID], row["iteration"], row["event"], row["sampler"],
         None if row["policy_sha256"] is None else str(row["policy_sha256"])[:SHORT_ID],
         "kept" if row["kept"] else row["rejected_by"], row["reward"], row["raw"], row["made_of"])
        for row in drawn
    ]  # fmt: skip
    columns = ("run", "id", "iteration", "event", "sampler", "policy", "filters", "reward", "as drawn", "made of")
    return html.table("Draws of the molecule, the earliest first", columns, rows)


def _descent(scope: Scope, smiles: str) -> Iterator[str]:
    found = descent(scope, smiles)
    if len(found) < 2:
        return
    core = core_of(smiles)
    yield html.heading("Descent")
    yield html.note("The sources of the molecule, and their sources, back to a molecule whose sampler names no source.")
    yield html.cards(
        html.card(
            picture(each.smiles, core=core),
            "the molecule" if each.generation == 0 else f"{each.generation} back",
            {"run": each.run_name, "iteration": each.iteration, "sampler": each.sampler, "file": each.file},
            each.smiles,
        )
        for each in found
    )


def _policies(scope: Scope, sha256: str) -> str:
    steps = policy_descent(scope, sha256)
    rows = [
        (step.sha256[:SHORT_ID], step.kind, step.run_name, step.iteration, step.weights_kept, step.created)
        for step in steps[:MOST_POLICIES]
    ]
    rest = f", {MOST_POLICIES} of {len(steps)} versions" if len(steps) > MOST_POLICIES else ""
    columns = ("policy", "kind", "made by run", "iteration", "weights kept", "when (UTC)")
    return html.table(f"The policy that drew the molecule, and its earlier versions{rest}", columns, rows)


def neighbours_note(neighbours: Sequence[Neighbour], compared: int, total: int) -> str:
    """Return the sentence above the neighbours of a molecule, as HTML.

    Args:
        neighbours: the neighbours.
        compared: the number of molecules that were compared.
        total: the number of all molecules with a reward.
    """
    if not neighbours:
        return html.block(html.heading("Neighbours"), html.note("No other molecule with a reward can be compared."))
    of = f"all {total:,}" if compared == total else f"{compared:,} of the {total:,}, chosen by a hash,"
    said = f"The most similar of {of} molecules with a reward, by the Tanimoto similarity of Morgan fingerprints."
    return html.block(html.heading("Neighbours"), html.note(said))
