"""The command ``pretrain``: train a generative model on a file of molecules or pairs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from json import loads as json_value
from typing import Annotated, Any, Literal

import typer

from molbuffer.flows.cli.campaigns.work import by_prefect, pretrain_work, surroundings
from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.options import (
    ColumnOption,
    JsonOption,
    ModelDeviceOption,
    PrefectOption,
    ResumeOption,
    SmilesFile,
    StoreOption,
    known_run,
)
from molbuffer.flows.cli.common.output import output_kept_for_results, write_result
from molbuffer.flows.cli.common.preparation import known_policy, opened_if_there
from molbuffer.flows.errors import UsageError


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: molbuffer pretrain own.csv --from zinc-gru --store lab")(pretrain)


def pretrain(
    smiles_file: SmilesFile,
    store: StoreOption,
    column: ColumnOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="POLICY",
            help="Transfer learning: start from this policy (a bundled one, a folder, a sha256, or run:RUN_ID), with "
            "its kind, sizes and vocabulary; stop when the loss of held-out molecules no longer falls, and keep the "
            "best weights; default: random weights.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the molecules, including those of the decay; default: 10, with --from 30."
        ),
    ] = None,
    decay_epochs: Annotated[
        float | None,
        typer.Option(
            min=0, help="The number of final passes in which the learning rate falls to 0; default: 3, with --from 0."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Molecules of a training step; default: 128, with --from 32.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The learning rate of Adam; default: 2e-3, with --from 3e-4.")
    ] = None,
    held_out: Annotated[int, typer.Option(min=1, help="Molecules held out for validation, at most a tenth.")] = 5000,
    patience: Annotated[
        int,
        typer.Option(
            min=1, help="Validations without improvement after which the decay begins, or with --from training ends."
        ),
    ] = 3,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="The seed of the split, the order and the initial weights.")
    ] = 0,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(
            help="The precision of matrix products: float32, or bfloat16, which is faster on a processor that has it."
        ),
    ] = "float32",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="The kind of model: gru, lstm, seq2seq, transformer, vae, another that `molbuffer kinds` lists, or a "
            "class in a file of this folder, as module:Class; default: gru, or the policy's.",
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Layers of the model; default: 2, for a transformer 4.")
    ] = None,
    hidden_size: Annotated[
        int | None, typer.Option(min=1, help="Width of each layer; default: 384, for a transformer 256.")
    ] = None,
    embedding_size: Annotated[
        int | None, typer.Option(min=1, help="Width of a token's embedding in a gru or lstm; default: 192.")
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="The dropout of the layers' outputs; default: 0, or the policy's."),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Another size of this kind of model, such as heads=4 for a transformer; may be repeated.",
        ),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="An option of the loss of a vae: beta (default 0.1), the weight of the divergence from the latent "
            "prior; warmup_steps (2000), in which beta rises from 0; free_bits (0), nats of each latent dimension "
            "without cost.",
        ),
    ] = None,
    grammar: Annotated[
        Literal["smiles", "selfies"],
        typer.Option(help="The notation that the model learns; with --from it is the policy's."),
    ] = "smiles",
    source_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of the sources of pairs, for a seq2seq; default: source."),
    ] = None,
    target_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column of the targets of pairs; default: target.")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, help="Molecules drawn at the end to judge the model; default: 10000, with --from 2000."),
    ] = None,
    resume: ResumeOption = None,
    device: ModelDeviceOption = None,
    prefect: PrefectOption = None,
    json: JsonOption = False,
) -> None:
    """Train a generative model on the molecules, or pairs, of a file, and register it in the store as a policy."""
    asked = {"layers": layers, "hidden_size": hidden_size, "embedding_size": embedding_size}
    sizes = {name: value for name, value in asked.items() if value is not None} | _values("--size", size or ())
    if start is not None and (kept := [*sizes, *(["model"] if model is not None else [])]):
        raise UsageError(f"a model that starts --from a policy keeps its {', '.join(kept)}: leave them out")
    if not smiles_file.is_file():
        raise UsageError(f"there is no file {smiles_file}")
    if dropout is not None:
        sizes["dropout"] = dropout
    known, policy = known_run(store, resume), known_policy(store, start)
    run_id = known or uuid.uuid4().hex
    chosen: dict[str, Any] = {
        "epochs": epochs,
        "decay_epochs": decay_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    with first_imports():
        from molbuffer.flows.campaign import DEFAULT_MODEL, PretrainRequest, check_before_a_run
        from molbuffer.training import TRANSFER, Columns, PretrainSettings

    request = PretrainRequest(
        str(smiles_file),
        str(store),
        columns=Columns(column, source_column, target_column),
        model=model or DEFAULT_MODEL,
        policy=policy,
        sizes=sizes,
        settings=replace(
            PretrainSettings() if policy is None else TRANSFER,
            held_out=held_out,
            patience=patience,
            seed=seed,
            precision=precision,
            **{name: value for name, value in chosen.items() if value is not None},
        ),
        draws=draws or (10_000 if policy is None else 2_000),
        grammar=grammar,
        device=device or "cpu",
        loss=_values("--loss", loss or ()),
    )
    with output_kept_for_results(), opened_if_there(store) as opened:
        check_before_a_run(request, opened, known)
    flows = by_prefect(prefect)
    with surroundings(store, run_id, flows=flows):
        result = pretrain_work(flows=flows)(request, run_id)
    write_result(result, json)


def _values(option: str, given: Sequence[str]) -> dict[str, Any]:
    """Parse texts NAME=VALUE into values by name; a value that is not JSON stays a text."""
    values: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"expected {option} NAME=VALUE, such as heads=4, got {text!r}")
        try:
            values[name] = json_value(value)
        except ValueError:
            values[name] = value
    return values
