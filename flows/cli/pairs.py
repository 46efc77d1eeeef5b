"""The command ``pairs``: a data set of similar molecules for conditional models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molbuffer.flows.cli.errors import UsageError
from molbuffer.flows.cli.options import ColumnOption, FormatOption, JsonOption, OutOption, SmilesFile, chosen_format
from molbuffer.flows.cli.output import as_json, note, output_kept_for_results, progress_of, write_frame, write_text


def add_commands(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command(epilog="Example: molbuffer pairs actives.smi --min-similarity 0.5 --out pairs.csv")(pairs)


def pairs(
    smiles_file: SmilesFile,
    min_similarity: Annotated[
        float, typer.Option(min=0, max=1, help="The least Tanimoto similarity of a pair, inclusive.")
    ] = 0.5,
    max_similarity: Annotated[float, typer.Option(min=0, max=1, help="The greatest, inclusive.")] = 1.0,
    per_molecule: Annotated[
        int, typer.Option(min=1, help="The most targets of a source: those most similar to it.")
    ] = 10,
    fingerprint: Annotated[str, typer.Option(help="morgan, fcfp or atom_pair.")] = "morgan",
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.toml", help="Give the rewards of both ends under its objective."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Look scores up in this store, and keep new ones.")
    ] = None,
    improve: Annotated[
        str | None, typer.Option(metavar="PROPERTY", help="Give a property of both ends instead, such as qed.")
    ] = None,
    same_scaffold: Annotated[
        bool, typer.Option("--same-scaffold", help="Only pairs whose ends have the same Bemis-Murcko scaffold.")
    ] = False,
    min_improvement: Annotated[
        float | None,
        typer.Option(help="The least reward of a target less that of its source; needs --config or --improve."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Take so many of the file's molecules, at random; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of --limit.")] = 0,
    column: ColumnOption = None,
    out: OutOption = None,
    form: FormatOption = None,
    json: JsonOption = False,
) -> None:
    """Find the pairs of similar molecules in a file: source, target and similarity, from each molecule to others."""
    if config is not None and improve is not None:
        raise UsageError("--config and --improve both say what is better; give one of them")
    if min_improvement is not None and config is None and improve is None:
        raise UsageError(
            "--min-improvement needs --config FILE.toml, whose objective says what is better, or --improve PROPERTY"
        )
    if store is not None and config is None:
        raise UsageError("--store keeps the scores of an objective; name it with --config FILE.toml")
    if json and out is None:
        raise UsageError("--json prints a summary; the pairs themselves need --out FILE")
    written = chosen_format(form, out)
    from molbuffer.flows.settings.settings import load_settings

    with output_kept_for_results():
        settings = None if config is None else load_settings(config)
        from molbuffer.flows.tools.similar_pairs import (
            PairSearch,
            pairs_of_file,
            rewards_of_objective,
            rewards_of_property,
        )
        from molbuffer.scoring.molecules.fingerprints import Fingerprint
        from molbuffer.scoring.molecules.neighbours import SimilarityBounds

        if fingerprint not in tuple(Fingerprint):
            raise UsageError(f"expected --fingerprint to be one of {', '.join(Fingerprint)}, got {fingerprint!r}")
        bounds = SimilarityBounds(min_similarity, max_similarity, Fingerprint(fingerprint))
        search = PairSearch(bounds, per_molecule, limit, seed, min_improvement, same_scaffold)
        rewards = None if settings is None else rewards_of_objective(settings, smiles_file, store)
        if improve is not None:
            rewards = rewards_of_property(improve)
        with progress_of("comparing", 100) as show:
            found = pairs_of_file(
                smiles_file, column, search, rewards, lambda done, total: show(100 * done // max(1, total))
            )
    write_frame(found, written, out)
    sources = found["source"].n_unique()
    if json:
        write_text(as_json({"pairs": len(found), "sources": sources, "out": str(out)}))
    note(f"{len(found)} pairs of {sources} sources")
