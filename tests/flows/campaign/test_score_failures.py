"""A run whose scores fail ends as failed, with the commonest error; what it has stored stays."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.build_buffer import build
from molbuffer.flows.campaign.campaign import Campaign, campaign_run
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks import made_here
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.flows.tasks.chunks import build_chunk
from molbuffer.flows.train import train
from molbuffer.flows.work import run_build
from molbuffer.lab.errors import EmptyBuildError, FailedScoresError
from molbuffer.lab.score_failures import LEAST_MOLECULES
from molbuffer.storage import RunKind, SampleStore

WriteConfig = Callable[..., Settings]
FAILING = {
    "raises": (
        "def score(smiles):\n    raise ValueError(f'no licence for {smiles}, attempt {len(smiles)}')",
        "no licence",
    ),
    "nan": ("def score(smiles):\n    return float('nan')", "nan"),
    "text": ("def score(smiles):\n    return 'good'", "good"),
    "out of range": ("def score(smiles):\n    return 17", ""),
}
FAILS_FOR_SHARE = """
import zlib

def score(smiles):
    if zlib.crc32(smiles.encode()) % 100 < {percent}:
        raise ValueError("no pose")
    return 0.5
"""


@pytest.fixture
def config_of(tiny_config: Path, write_scorer: Callable[[str], str]) -> WriteConfig:
    """Settings of a campaign with a scorer of this source, which builds ``rows`` molecules."""

    template = tiny_config.read_text()

    def make(source: str, rows: int = 30, share: float = 0.5, heaviest: int = 550) -> Settings:
        text = template.replace(
            'kind = "qed"', f'kind = "python"\nin_process = true\nfunction = "{write_scorer(source)}:score"'
        )
        text = text.replace("buffer_size = 24", f"buffer_size = {rows}").replace("max = 550", f"max = {heaviest}")
        tiny_config.write_text(text.replace("[campaign]", f"[campaign]\nmax_failed_share = {share}"))
        return load_settings(tiny_config)

    return make


@contextmanager
def built(settings: Settings, folder: Path, run_id: str = "run") -> Iterator[Campaign]:
    """The campaign of a run that has committed a build, as a task does."""
    with (
        SampleStore.open_or_create(folder) as store,
        campaign_run(settings, store, RunKind.BUILD, run_id) as campaign,
    ):
        for request in build_requests(campaign, 0, campaign.prior.sha256):
            build_chunk(campaign, request)
        yield campaign


@pytest.mark.parametrize(("kind", "rows"), [*((kind, 30) for kind in FAILING), ("raises", 2)])
def test_a_scorer_that_fails_on_everything_fails_the_run(
    config_of: WriteConfig, tmp_path: Path, kind: str, rows: int
) -> None:
    source, said = FAILING[kind]
    with pytest.raises(FailedScoresError) as caught, built(config_of(source, rows), tmp_path / "lab") as campaign:
        campaign.failures().end()
    failure = caught.value
    assert failure.failed == failure.molecules > 0
    assert said in failure.error.lower()
    if rows >= LEAST_MOLECULES:
        # All errors are one, although each names another molecule and number.
        assert f"({failure.failed} of them)" in str(failure)
    # A build that is resumed, and one that finds the failed scores in the store, are no better.
    with pytest.raises(FailedScoresError), built(campaign.settings, tmp_path / "lab") as resumed:
        resumed.failures().end()
    with SampleStore.open(tmp_path / "lab", read_only=True) as store:
        assert store.query("SELECT status FROM run_events ORDER BY created DESC LIMIT 1").item() == "failed"
        assert store.query("SELECT count(*) FROM sample_history WHERE kept AND reward_status = 'failed'").item() >= rows


@pytest.mark.parametrize(
    ("percent", "share", "rows", "fails"),
    [
        (30, 0.5, 40, False),
        (80, 0.5, 40, True),
        (80, 1.0, 40, False),
        (100, 1.0, 40, False),
        (70, 0.5, 6, False),  # too few to say, and one is good
        (30, 0.0, 6, True),  # no failure is allowed
    ],
)
def test_the_share_that_may_fail_is_the_campaigns(
    config_of: WriteConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    percent: int,
    share: float,
    rows: int,
    fails: bool,
) -> None:
    settings = config_of(FAILS_FOR_SHARE.format(percent=percent), rows, share)
    with built(settings, tmp_path / "lab") as campaign:
        failures = campaign.failures()
        if not fails:
            failures.end()
            assert "no pose" in caplog.text
            return
        # It is certain only when what is to come cannot make up for it.
        if share:
            failures.look(to_come=1000)
        with pytest.raises(FailedScoresError):
            failures.look()


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("flow", [build, train])
def test_a_flow_fails_with_its_scores(config_of: WriteConfig, tmp_path: Path, flow: Callable[..., Any]) -> None:
    state = flow(config_of(FAILING["raises"][0]).to_json(), str(tmp_path / "lab"), return_state=True)
    assert state.is_failed()
    with pytest.raises(FailedScoresError, match="no licence"):
        state.result()


@pytest.mark.usefixtures("prefect_server")
def test_a_warning_is_in_the_log_of_the_command_and_of_the_flow_and_an_empty_build_fails(
    config_of: WriteConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("prefect.flow_runs").addHandler(caplog.handler)
    try:
        build(config_of(FAILS_FOR_SHARE.format(percent=30)).to_json(), str(tmp_path / "lab"))
    finally:
        logging.getLogger("prefect.flow_runs").removeHandler(caplog.handler)
    warned = {record.name.split(".")[0] for record in caplog.records if "no pose" in record.message}
    assert warned == {"molbuffer", "prefect"}
    nothing = config_of(FAILS_FOR_SHARE.format(percent=0), heaviest=150)
    with pytest.raises(EmptyBuildError, match="molecular_weight"):
        run_build(nothing.to_json(), str(tmp_path / "lab"), made_here)
