"""The demonstration: a campaign, an offline training on its stored rows, and the gains of both policies."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from molbuffer.flows.campaign import build_filters, build_objective, build_standardisation
from molbuffer.flows.settings import Settings, load_settings
from molbuffer.samplers import Scorer, derive_seed, find_policy, load_policy
from molbuffer.storage import SampleStore
from molbuffer.training import DrawEvaluation, bootstrap_difference, evaluate_policy

Work = Callable[..., Mapping[str, Any]]
"""A training, called with a configuration as JSON and the folder of a store, that returns the result of its run."""
DRAWS = 1_000
"""The number of fresh draws of each policy for their comparison."""
COMPARED_ITERATIONS = 10
"""The number of first, and of last, iterations whose mean rewards are compared."""
OBJECTIVE = (
    "drug-like molecules that resemble celecoxib. The prior has a low mean reward: it draws molecules like those that "
    "can be bought, which are drug-like, but rarely resemble a given drug."
)
"""A description of the objective of ``demo.toml``, and of the reason why the prior can be improved."""

_COUNTS = "SELECT run_id, count(*) AS n, count(*) FILTER (kept) AS kept FROM sample_history GROUP BY run_id"
_LIVE_REWARDS = "SELECT run_id, value FROM metrics WHERE name = 'reward_live' ORDER BY iteration"
_SAMPLER_METRICS = """
    SELECT b.run_id, b.sampler, b.event, m.name, avg(m.value) AS mean
    FROM metrics m JOIN builds b USING (build_id) GROUP BY ALL ORDER BY ALL
"""
_MOLECULES = """
    SELECT run_id, smiles, max(reward) AS reward, min(iteration) AS first_iteration
    FROM sample_history WHERE reward IS NOT NULL GROUP BY run_id, smiles ORDER BY reward DESC, smiles
"""


@dataclass(frozen=True)
class PolicyResult:
    """The evaluation of a policy by fresh draws.

    Attributes:
        name: "prior", "online" or "offline".
        sha256: the sha256 of the policy.
        evaluation: the evaluation of its fresh draws.
        gain: the 95 % bootstrap interval of its mean reward minus the prior's; None for the prior.
    """

    name: str
    sha256: str
    evaluation: DrawEvaluation
    gain: tuple[float, float] | None = None


@dataclass(frozen=True)
class DemoReport:
    """The results of the demonstration.

    Attributes:
        settings: the configuration.
        store: the folder of the store.
        run_id: the online run.
        rows: the number of rows of the online run.
        kept: the number of kept rows of the online run.
        scores: the number of scores in the store.
        first_reward: the mean reward of live samples in the first iterations.
        last_reward: the mean reward of live samples in the last iterations.
        policies: the prior, the online and the offline policy.
        samplers: the mean metrics of each sampler and event.
        best: the molecules with the highest rewards.
    """

    settings: Settings
    store: Path
    run_id: str
    rows: int
    kept: int
    scores: int
    first_reward: float
    last_reward: float
    policies: tuple[PolicyResult, ...]
    samplers: pl.DataFrame
    best: pl.DataFrame


def demo_settings() -> Settings:
    """Return the configuration of the demonstration."""
    with resources.as_file(resources.files("molbuffer.flows.tools") / "demo.toml") as path:
        return load_settings(path)


def run_demo(
    settings: Settings,
    store: Path,
    train: Work,
    train_offline: Work,
    draws: int = DRAWS,
    say: Callable[[str], None] = lambda _: None,
) -> DemoReport:
    """Train online, train offline on the stored rows, evaluate the prior and both policies, and return the results.

    Args:
        settings: the settings of the campaign.
        store: the folder of the store.
        train: the flow ``train``, or the function that does the same without Prefect.
        train_offline: the flow ``train_offline``, or the function that does the same without Prefect.
        draws: the number of fresh draws of each policy.
        say: is called with a message before each step.
    """
    config = settings.to_json()
    say(f"1 of 3: {settings.campaign.iterations} iterations of training, whose molecules fill the store")
    online = train(config, str(store))
    say("2 of 3: a second policy learns from the stored rows alone")
    offline = train_offline(config, str(store), where=f"run_id = '{online['run_id']}'")
    with SampleStore.open(store) as sample_store:
        say(f"3 of 3: {draws} fresh draws of each policy")
        policies = _compare(settings, sample_store, online, offline, draws)
        return _report(settings, sample_store, online["run_id"], policies)


def _compare(
    settings: Settings, store: SampleStore, online: Mapping[str, Any], offline: Mapping[str, Any], draws: int
) -> tuple[PolicyResult, ...]:
    folders = {
        "prior": find_policy(settings.policy.prior, store),
        "online": store.policies.folder(online["policy"]),
        "offline": store.policies.folder(offline["policy"]),
    }
    filters, standardisation = build_filters(settings), build_standardisation(settings)
    scorer = Scorer(build_objective(settings), store, online["run_id"])
    results: list[PolicyResult] = []
    for name, folder in folders.items():
        policy = load_policy(folder)
        seed = derive_seed(settings.campaign.seed, "evaluation", name)
        evaluation = evaluate_policy(policy, scorer, filters, standardisation, draws=draws, seed=seed)
        gain = bootstrap_difference(evaluation.rewards, results[0].evaluation.rewards) if results else None
        results.append(PolicyResult(name, policy.sha256, evaluation, gain))
    return tuple(results)


def _report(settings: Settings, store: SampleStore, run_id: str, policies: tuple[PolicyResult, ...]) -> DemoReport:
    counts = store.query(_COUNTS).row(by_predicate=pl.col("run_id") == run_id, named=True)
    rewards = store.query(_LIVE_REWARDS).filter(run_id=run_id)["value"]
    samplers = store.query(_SAMPLER_METRICS).filter(run_id=run_id)
    best = store.query(_MOLECULES).filter(run_id=run_id).head(10)
    return DemoReport(
        settings=settings,
        store=store.path,
        run_id=run_id,
        rows=counts["n"],
        kept=counts["kept"],
        scores=store.query("SELECT count(*) AS n FROM scores")["n"][0],
        first_reward=_mean(rewards.head(COMPARED_ITERATIONS)),
        last_reward=_mean(rewards.tail(COMPARED_ITERATIONS)),
        policies=policies,
        samplers=samplers.pivot(on="name", index=["sampler", "event"], values="mean"),
        best=best.select("smiles", "reward", "first_iteration"),
    )


def _mean(rewards: pl.Series) -> float:
    mean = rewards.mean()
    return float(mean) if isinstance(mean, float) else float("nan")


SAMPLER_METRICS = ("drawn", "kept", "valid", "diversity", "duplicates", "new", "rewards", "shortfall", "seconds")


def print_report(report: DemoReport, console: Console) -> None:
    """Print the numbers of stored rows, the gains, the samplers' metrics, the best molecules, and next commands."""
    console.print(f"\n[bold]Objective[/bold]: {OBJECTIVE}")
    console.print(f"[bold]Stored[/bold]: {report.rows} rows ({report.kept} kept), {report.scores} scores")
    console.print(
        f"[bold]Mean reward of live samples[/bold]: {report.first_reward:.3f} in the first {COMPARED_ITERATIONS} "
        f"iterations, {report.last_reward:.3f} in the last {COMPARED_ITERATIONS}"
    )
    console.print(_policies(report.policies))
    console.print(_samplers(report))
    console.print(_best(report))
    _next_steps(report, console)


def _policies(results: Iterable[PolicyResult]) -> Table:
    table = Table("policy", "mean reward", "gain (95 %)", "validity", "uniqueness", "sha256", title_justify="left")
    for result in results:
        draws = len(result.evaluation.rewards)
        table.title = f"{draws} fresh draws of each policy (a draw without a reward counts as 0)"
        evaluation = result.evaluation
        table.add_row(
            result.name,
            f"{evaluation.mean_reward:.3f}",
            "" if result.gain is None else f"{result.gain[0]:+.2f} to {result.gain[1]:+.2f}",
            f"{evaluation.validity:.3f}",
            "" if evaluation.uniqueness is None else f"{evaluation.uniqueness:.3f}",
            result.sha256[:8],
        )
    return table


def _samplers(report: DemoReport) -> Table:
    rows = report.samplers.rows(named=True)
    headings = [f"{row['sampler']}, {row['event']}" for row in rows]
    table = Table("mean of each build", *headings, title="Metrics of the samplers", title_justify="left")
    for name in SAMPLER_METRICS:
        table.add_row(name, *("" if row.get(name) is None else f"{row[name]:.3g}" for row in rows))
    return table


def _best(report: DemoReport) -> Table:
    table = Table(
        "reward", "iteration", title="The ten best molecules, with their first iterations", title_justify="left"
    )
    table.add_column("molecule", overflow="fold")
    for smiles, reward, iteration in report.best.iter_rows():
        table.add_row(f"{reward:.3f}", str(iteration), smiles)
    return table


def _next_steps(report: DemoReport, console: Console) -> None:
    # `make demo` runs the command of a virtual environment that need not be active in the user's shell.
    program = "molbuffer" if shutil.which("molbuffer") else shlex.quote(sys.argv[0])
    store = shlex.quote(str(report.store))
    online = report.policies[1].sha256[:12]
    console.print(f"\n[bold]The store[/bold]: {report.store}\n[bold]Try next[/bold]:")
    per_iteration = "SELECT iteration, avg(reward) FROM sample_history GROUP BY iteration ORDER BY iteration"
    for command in ("report --out report.html", "explore", "top", f'query "{per_iteration}"', f"sample {online} -n 20"):
        console.print(f"  {program} {command} --store {store}", soft_wrap=True, markup=False, highlight=False)
