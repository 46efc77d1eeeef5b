"""Measure molecules per second of every sampler and every model, compared with plain loops as the field writes them.

    python benchmarks/drawing/bench_samplers.py [--rows 128] [--rounds 3] [--molecules 2000] [--latent-rows 1000]
                                     [--seconds 0.1]

Models draw tokens with their log-probabilities; samplers draw as in a campaign: strings and tokens of ``--rows``
molecules at once. The plain loops are in ``plain_loops`` and ``plain_samplers``: they use the same weights, with a
check that they draw from the same distribution, and the same molecules. Files are read, and an index of the history is
loaded, before the timing. Both are timed alternately, and the best of the rounds counts. molbuffer standardises
molecules on all cores if there are enough molecules; the plain loops use one core.

A model is a bundled policy if there is one of its kind. Other models have the default sizes of their kind and random
weights, with which sequences do not end like molecules: each row then has the mean number of tokens of a molecule, and
none ends earlier. In this case molbuffer does not profit from rows that end at different times.

At the end come tokens per second on a GPU, or without one on the CPU, compared with the memory-bound floor of
``memory_floor``.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plain_samplers as plain
import polars as pl
import torch
from bench_pairs import some_molecules
from bench_transformer import random_model
from memory_floor import print_floors
from plain_loops import PlainLoop

from molbuffer.samplers import (
    SELFIES,
    ContrastiveSampler,
    DatasetSampler,
    EpochPosition,
    GraphGASampler,
    HistorySampler,
    LatentSampler,
    LatentState,
    LatentTable,
    ModelSampler,
    MutationSampler,
    NormalPrior,
    PairDatasetSampler,
    Policy,
    PriorSampler,
    Sampler,
    SphericalPrior,
    Vocabulary,
    bundled_policies,
    encode_molecules,
    encode_rows,
    epoch_sampler,
    find_policy,
    load_policy,
)
from molbuffer.samplers.models import MODELS, UNCONDITIONED, VAE, Condition
from molbuffer.storage import (
    Build,
    Commit,
    Event,
    HistoryIndex,
    IndexScope,
    Reward,
    Run,
    RunKind,
    Samples,
    SampleStore,
)

OBJECTIVE = "0" * 64

Draw = Callable[[int], Sized]
"""A function that draws up to n molecules."""


@dataclass(frozen=True)
class Timing:
    """The settings of a timing: the number of rounds, and the least seconds of each, which may need several draws."""

    rounds: int
    shortest: float


@dataclass(frozen=True)
class Compared:
    """Two methods to draw the same rows: a sampler or model of molbuffer, and its plain loop."""

    name: str
    ours: Draw
    plain: Draw


@dataclass(frozen=True)
class Molecules:
    """Where samplers draw from.

    Attributes:
        smiles: different molecules, the best first. file: they. pairs: of each and the next.
        index: they as a history. vocabulary: expresses them.
    """

    smiles: Sequence[str]
    file: Path
    pairs: Path
    index: HistoryIndex
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Best:
    """A history of molecules, sorted by reward, the best first."""

    smiles: Sequence[str]

    def best_molecules(self, n: int) -> dict[str, float]:
        return {text: -float(rank) for rank, text in enumerate(self.smiles[:n])}


def write_molecules(smiles: Sequence[str], vocabulary: Vocabulary, folder: Path, store: SampleStore) -> Molecules:
    """Write the molecules to files and to a store, in which each has a lower reward than the one before."""
    file, pairs, run = folder / "molecules.smi", folder / "pairs.csv", Run("bench", "bench", RunKind.BUILD, "{}", 7)
    file.write_text("\n".join(smiles))
    pl.DataFrame({"source": smiles, "target": [*smiles[1:], smiles[0]]}).write_csv(pairs)
    rows, nothing = encode_rows(smiles, vocabulary), [None] * len(smiles)
    samples = Samples(smiles, smiles, nothing, rows)
    rewards = [Reward(row, OBJECTIVE, 1 - row / len(smiles)) for row in range(len(smiles))]
    build = Build(
        run.run_id, 0, Event.BUILD_BUFFER, "file", "dataset", samples, objective_sha256=OBJECTIVE, rewards=rewards
    )
    store.start_run(run)
    store.commit(Commit([build]))
    return Molecules(smiles, file, pairs, store.index(IndexScope(objective_sha256=OBJECTIVE)), vocabulary)


def some_policy(kind: str, smiles: Sequence[str], vocabulary: Vocabulary) -> tuple[str, Policy]:
    """Return a bundled policy of a kind with the vocabulary's grammar, or one with random weights; and its name."""
    for name in bundled_policies():
        policy = load_policy(find_policy(name))
        if policy.kind == kind and policy.vocabulary.grammar is vocabulary.grammar:
            return name, policy
    mean_length = round(float(np.mean([len(vocabulary.encode(text)) for text in smiles])))
    return "random weights", Policy(random_model(kind, 0.0, mean_length, len(vocabulary)), vocabulary, "")


def conditions(policy: Policy, sources: plain.Draw) -> Callable[[int], Condition]:
    """Return a function that gives n rows their conditions: latents of the prior, or sources with their tokens."""
    model = policy.model
    if isinstance(model, VAE):
        return lambda n: Condition(latents=model.prior_latents(n, torch.default_generator))
    if MODELS[policy.kind].learns_pairs:

        def tokenised(n: int) -> Condition:
            tokens = plain.padded(sources(n), policy.vocabulary)
            return Condition(sources=tokens, source_lengths=(tokens != 0).sum(1))

        return tokenised
    return lambda n: UNCONDITIONED


def compare_model(name: str, policy: Policy, condition: Condition) -> Compared:
    """Return a model with its plain loop, after a check that both draw from the same distribution."""
    model, loop, generator = policy.model, PlainLoop(policy.model), torch.Generator().manual_seed(0)
    drawn = loop.sample(8, condition[:8])
    with torch.no_grad():
        expected = model.log_probs(drawn.tokens, drawn.lengths, condition=condition[:8])
    if not torch.allclose(drawn.log_probs, expected, atol=1e-3):
        raise SystemExit(f"the plain loop of {policy.kind} draws from another distribution")
    return Compared(
        f"{policy.kind} ({name})",
        lambda n: model.sample(n, condition=condition[:n], generator=generator),
        lambda n: loop.sample(n, condition[:n]),
    )


def drawn_by(sampler: Sampler) -> Draw:
    """Return a function that draws from a sampler, each time with a new seed, or from where the last draw ended."""
    numbers = itertools.count()

    def draw(n: int) -> Sized:
        number, file = next(numbers), epoch_sampler(sampler)
        return sampler.draw(n, number) if file is None else file.draw_from(EpochPosition(number * n, 0), n, number)

    return draw


def latent_samplers(name: str, policy: Policy, smiles: Sequence[str]) -> Iterator[Compared]:
    model = policy.model
    assert isinstance(model, VAE)
    prior = NormalPrior(model.latent_size) if model.sizes.geometry == "normal" else SphericalPrior(model.latent_size)
    yield Compared(
        f"prior ({name})",
        drawn_by(PriorSampler("prior", lambda: policy, LatentState(prior))),
        plain.from_model(policy, lambda n: Condition(latents=model.prior_latents(n, torch.default_generator))),
    )
    vectors = encode_molecules(policy, smiles, "latent")
    yield Compared(
        f"latent ({name})",
        drawn_by(LatentSampler("latent", lambda: policy, LatentState(LatentTable.of(vectors)))),
        plain.from_model(policy, lambda n: Condition(latents=vectors[torch.randint(len(vectors), (n,))])),
    )


def all_samplers(molecules: Molecules, policies: dict[str, tuple[str, Policy]]) -> Iterator[Compared]:
    """Yield every kind of sampler, and again in SELFIES those that write or read tokens of whole molecules."""
    vocabulary, file = molecules.vocabulary, molecules.file
    in_selfies = Vocabulary.from_smiles(molecules.smiles, SELFIES)
    for name, policy in (policies["gru"], some_policy("gru", molecules.smiles, in_selfies)):
        label = f"model ({policy.vocabulary.grammar.name} gru, {name})"
        yield Compared(label, drawn_by(ModelSampler("model", lambda policy=policy: policy)), plain.from_model(policy))
    yield from latent_samplers(*policies["vae"], molecules.smiles)
    rows_of_file = plain.from_file(file)
    for each in (vocabulary, in_selfies):
        sampler = DatasetSampler("dataset", file, each)
        yield Compared(f"dataset ({each.grammar.name})", drawn_by(sampler), plain.with_tokens(rows_of_file, each))
    memory = plain.from_memory(pl.DataFrame({"smiles": molecules.smiles}))
    history = HistorySampler("history", lambda: molecules.index, vocabulary)
    yield Compared("history (uniform)", drawn_by(history), plain.with_tokens(memory, vocabulary))
    name, pairs = policies["seq2seq"]
    yield Compared(
        f"contrastive ({name})",
        drawn_by(ContrastiveSampler("contrastive", DatasetSampler("base", file, vocabulary), lambda: pairs)),
        plain.from_model(pairs, conditions(pairs, rows_of_file)),
    )
    yield Compared(
        "pair_dataset (smiles)",
        drawn_by(PairDatasetSampler("pair_dataset", molecules.pairs, vocabulary)),
        plain.with_tokens(plain.from_pairs(molecules.pairs, vocabulary), vocabulary),
    )
    base = DatasetSampler("base", file, vocabulary)
    yield Compared(
        "mutation (smiles)",
        drawn_by(MutationSampler("mutation", base, vocabulary)),
        plain.with_tokens(plain.by_mutation(rows_of_file, vocabulary), vocabulary),
    )
    breeder = GraphGASampler("graph_ga", Best(molecules.smiles), base, vocabulary)
    children = plain.by_genetic_algorithm(molecules.smiles[: breeder.parents], vocabulary)
    yield Compared("graph_ga", drawn_by(breeder), plain.with_tokens(children, vocabulary))


def per_second(draw: Draw, n: int, shortest: float) -> float:
    """Return the molecules per second of repeated draws, which take at least ``shortest`` seconds together."""
    drawn, started = 0, time.perf_counter()
    while True:
        drawn += len(draw(n))
        if (seconds := time.perf_counter() - started) >= shortest:
            return drawn / seconds


def compare(both: Compared, n: int, timing: Timing) -> tuple[float, float]:
    """Return the molecules per second of molbuffer and of the plain loop, each the best of the rounds."""
    found = [
        (per_second(both.ours, n, timing.shortest), per_second(both.plain, n, timing.shortest))
        for _ in range(timing.rounds)
    ]
    ours, theirs = map(max, zip(*found, strict=True))
    return ours, theirs


def print_table(title: str, all_compared: Iterator[Compared], n: int, timing: Timing) -> None:
    print(f"{title + f', {n} at once':<42} {'ours / s':>10} {'plain loop / s':>15} {'ratio':>6}")
    for each in all_compared:
        ours, theirs = compare(each, n, timing)
        print(f"{each.name:<42} {ours:>10,.0f} {theirs:>15,.0f} {ours / theirs:>6.2f}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rows", type=int, default=128, help="molecules of each draw")
    arguments.add_argument("--rounds", type=int, default=3, help="timings of each, of which the best counts")
    arguments.add_argument("--seconds", type=float, default=0.1, help="of each timing, at least")
    arguments.add_argument("--molecules", type=int, default=2000, help="in the files and in the history")
    arguments.add_argument("--latent-rows", type=int, default=1000, help="molecules of one draw of a VAE")
    chosen = arguments.parse_args()
    rows, timing = chosen.rows, Timing(chosen.rounds, chosen.seconds)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    vocabulary = load_policy(find_policy("zinc-gru")).vocabulary
    smiles = [text for text in some_molecules(max(chosen.molecules, 2 * rows), None) if vocabulary.can_encode(text)]
    policies = {
        kind: some_policy(kind, smiles, vocabulary) for kind, each in MODELS.usable().items() if not each.converted
    }
    spoken = [policy.vocabulary for _, policy in policies.values()]
    smiles = [text for text in smiles if all(each.can_encode(text) for each in spoken)]
    with tempfile.TemporaryDirectory() as folder, SampleStore.create(Path(folder) / "store") as store:
        molecules = write_molecules(smiles, vocabulary, Path(folder), store)
        sources = plain.from_file(molecules.file)
        given = {kind: conditions(policy, sources)(rows) for kind, (_, policy) in policies.items()}
        compared = (compare_model(name, policy, given[kind]) for kind, (name, policy) in policies.items())
        print_table("models", compared, rows, timing)
        print_table("samplers", all_samplers(molecules, policies), rows, timing)
        drawn = next(latent_samplers(*policies["vae"], smiles))
        ours, theirs = (chosen.latent_rows / rate for rate in compare(drawn, chosen.latent_rows, timing))
    print(f"{chosen.latent_rows:,} molecules of a VAE ({policies['vae'][0]}): {ours:.2f} s, plain loop {theirs:.2f} s")
    print_floors([policy for _, policy in policies.values()], given, rows)


if __name__ == "__main__":
    main()
