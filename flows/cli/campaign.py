"""Commands that run flows: ``run``, ``build``, ``offline``, ``pretrain``, ``demo``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import loads as json_value
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from molbuffer.flows.cli.archive import DEFAULT_MAX_SIZE, MaxSizeOption, limits
from molbuffer.flows.cli.options import (
    ColumnOption,
    ConfigurationFile,
    JsonOption,
    SmilesFile,
    SnapshotOption,
    StoreOption,
)
from molbuffer.flows.cli.output import as_json, output_kept_for_results, write_text
from molbuffer.flows.cli.prefect_setup import prefect_ready
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.flows.settings.settings import Settings

DEMO_STORE = Path("demo-store")

ResumeOption = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="RUN_ID",
        help="Go on with this run, given by its id or the start of it; default: a new run.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command(epilog="Example: molbuffer run campaign.toml --store lab")(run)
    app.command(epilog="Example: molbuffer build campaign.toml --store lab")(build)
    app.command(epilog='Example: molbuffer offline campaign.toml --store lab --where "reward > 0.5"')(offline)
    app.command(epilog="Example: molbuffer pretrain molecules.smi.gz --store lab --epochs 5")(pretrain)
    app.command(epilog="Example: molbuffer demo --store demo-store")(demo)


def run(file: ConfigurationFile, store: StoreOption, resume: ResumeOption = None, json: JsonOption = False) -> None:
    """Run a campaign: fill the buffer, train on live and stored molecules, keep them all."""
    settings, run_id = _load(file), _known(store, resume)
    with prefect_ready():
        if settings.campaign.offline:
            from molbuffer.flows.train_offline import train_offline

            result = train_offline(settings.to_json(), str(store), run_id=run_id)
        else:
            from molbuffer.flows.train import train

            result = train(settings.to_json(), str(store), run_id=run_id)
    _report(result, json)


def build(file: ConfigurationFile, store: StoreOption, json: JsonOption = False) -> None:
    """Fill the buffer once, without training; each time with other draws."""
    settings = _load(file)
    with prefect_ready():
        from molbuffer.flows.build_buffer import build as build_flow

        result = build_flow(settings.to_json(), str(store))
    _report(result, json)


def offline(
    file: ConfigurationFile,
    store: StoreOption,
    snapshot: SnapshotOption = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Only rows of sample_history that fulfil this condition.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="ARCHIVE",
            help="Read the molecules from this archive; the run and its policy go into the store all the same.",
        ),
    ] = None,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    resume: ResumeOption = None,
    json: JsonOption = False,
) -> None:
    """Train from stored molecules alone: nothing is drawn or scored."""
    if source is not None and snapshot is not None:
        raise UsageError("an archive has one version: leave --snapshot out, or read from the store without --from")
    settings, run_id = _load(file), _known(store, resume)
    archive = None if source is None else str(source.resolve())
    with prefect_ready():
        from molbuffer.flows.train_offline import train_offline

        result = train_offline(
            settings.to_json(),
            str(store),
            snapshot=snapshot,
            where=where,
            run_id=run_id,
            archive=archive,
            archive_limit_bytes=limits(max_size).bytes,
        )
    _report(result, json)


def pretrain(
    smiles_file: SmilesFile,
    store: StoreOption,
    column: ColumnOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the molecules, the decay included.")] = 10,
    decay_epochs: Annotated[
        float, typer.Option(min=0, help="The last passes, in which the learning rate falls to 0.")
    ] = 3.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Molecules of a training step.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 2e-3,
    held_out: Annotated[int, typer.Option(min=1, help="Molecules kept apart for validation, at most a tenth.")] = 5000,
    patience: Annotated[
        int, typer.Option(min=1, help="Validations without improvement after which the decay begins.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the split, the order and the first weights.")] = 0,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Of the matrix products: float32, or bfloat16 on a processor that has it, faster."),
    ] = "float32",
    model: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="gru, lstm, seq2seq, transformer or vae; default: gru, or the policy's."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="POLICY", help="Go on from this policy: its kind, sizes and vocabulary."),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Layers of the model; default: 2, of a transformer 4.")
    ] = None,
    hidden_size: Annotated[
        int | None, typer.Option(min=1, help="Width of each layer; default: 384, of a transformer 256.")
    ] = None,
    embedding_size: Annotated[
        int | None, typer.Option(min=1, help="Width of a token's embedding in a gru or lstm; default: 192.")
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Of the layers' outputs; default: 0, or the policy's.")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Another size that the kind has, as heads=4 of a transformer."),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Of a vae: beta (default 0.1), the price of its divergence from the prior; warmup_steps (2000), in "
            "which it rises from 0; free_bits (0), nats that each latent number may say at no cost.",
        ),
    ] = None,
    grammar: Annotated[
        Literal["smiles", "selfies"], typer.Option(help="The notation that the model learns; a --policy keeps its own.")
    ] = "smiles",
    source_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of seq2seq, which learns pairs: the sources; default: source.")
    ] = None,
    target_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The targets of such pairs; default: target.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Molecules drawn at the end to judge the model.")] = 10_000,
    resume: ResumeOption = None,
    json: JsonOption = False,
) -> None:
    """Train a generative model on the molecules, or pairs, of a file, and register it in the store as a policy."""
    settings = {
        "epochs": epochs,
        "decay_epochs": decay_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "held_out": held_out,
        "patience": patience,
        "seed": seed,
        "precision": precision,
    }
    asked = {"layers": layers, "hidden_size": hidden_size, "embedding_size": embedding_size}
    sizes = {name: value for name, value in asked.items() if value is not None} | _values("--size", size or ())
    if policy is not None and (kept := [*sizes, *(["model"] if model is not None else [])]):
        raise UsageError(f"a model that goes on from --policy keeps its {', '.join(kept)}: leave them out")
    if dropout is not None:
        sizes["dropout"] = dropout
    run_id = _known(store, resume)
    with prefect_ready():
        from molbuffer.flows.pretrain import DEFAULT_MODEL, pretrain_prior

        result = pretrain_prior(
            str(smiles_file),
            str(store),
            column=column,
            model=model or DEFAULT_MODEL,
            policy=policy,
            sizes=sizes,
            settings=settings,
            draws=draws,
            run_id=run_id,
            source_column=source_column,
            target_column=target_column,
            grammar=grammar,
            loss=_values("--loss", loss or ()),
        )
    _report(result, json)


def demo(
    store: Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder of the store.")] = DEMO_STORE,
) -> None:
    """Show the whole way: fill a buffer, train online, train offline on what that stored, and compare."""
    with prefect_ready():
        from molbuffer.flows.tools.demo import demo_settings, run_demo

        report = run_demo(demo_settings(), store)
    from rich.console import Console

    from molbuffer.flows.tools.demo import print_report

    print_report(report, Console())


def _load(file: Path) -> Settings:
    """The settings of a file, checked before anything heavy is imported or anything is run."""
    from molbuffer.flows.settings.settings import load_settings

    with output_kept_for_results():
        return load_settings(file)


def _values(option: str, given: Sequence[str]) -> dict[str, Any]:
    """Values by name, of the texts NAME=VALUE; what is no number is a text."""
    values: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"expected {option} NAME=VALUE, as heads=4, got {text!r}")
        try:
            values[name] = json_value(value)
        except ValueError:
            values[name] = value
    return values


def _known(store: Path, run_id: str | None) -> str | None:
    """The whole id of a run to go on with, by its start: a mistyped one would begin a new run."""
    if run_id is None:
        return None
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        return opened.run(run_id).run_id


def _report(result: Mapping[str, Any], json: bool) -> None:
    """What a flow returned: as JSON, or a line for each plain value."""
    if json:
        write_text(as_json(result))
        return
    plain = {name: value for name, value in result.items() if not isinstance(value, list)}
    width = max(map(len, plain))
    write_text("\n".join(f"{name:<{width}}  {value}" for name, value in plain.items()))
