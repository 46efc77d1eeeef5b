"""Several hosts that share only a Postgres server and an object store: one is killed, one is cut off.

Hosts are network namespaces; each has a home, a cache and a folder of the store of its own.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from molbuffer.storage import SampleStore

WRITER = Path(__file__).parents[1] / "writer_process.py"
PATIENCE_SECONDS = 600
# A server and a host that notice within about three seconds that the other one is gone.
SCORER = """
import os, sys, time
from molbuffer.samplers.scores.scorer import ClaimTiming, Scorer
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import PythonFunction
from molbuffer.storage import SampleStore

def dock(smiles):
    with open("calls", "a") as calls:
        calls.write(smiles + chr(10))
    time.sleep(0.05)
    if os.path.exists("hold"):
        open("held", "w").close()
        while os.path.exists("hold"):
            time.sleep(0.05)
    return 1 / len(smiles)

if __name__ == "__main__":
    component = PythonFunction("dock_here:dock", cost="high", name="dock", in_process=True, deterministic=False)
    claim, renewal = map(float, sys.argv[2:])
    pace = ClaimTiming(claim_seconds=claim, renewal_seconds=renewal, poll_seconds=0.1)
    with SampleStore.open(sys.argv[1]) as store:
        scorer = Scorer(Objective((WeightedComponent(component),)), store, pace=pace)
        print("ready", flush=True)
        print(*scorer.score(["C" * n for n in range(1, 61)]).rewards.tolist())
"""
QUICK = (
    "?connect_timeout=2&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=3000"
    "&options=-c%20tcp_keepalives_idle%3D1%20-c%20tcp_keepalives_interval%3D1%20-c%20tcp_keepalives_count%3D2"
    "%20-c%20tcp_user_timeout%3D3000"
)


@pytest.fixture(scope="module")
def network(services, namespaces, tmp_path_factory):
    """Four hosts, with the addresses of the servers that they share."""
    with namespaces.hosts(4) as hosts:
        folder = tmp_path_factory.mktemp("servers") / "s3"
        with services.postgres(hosts.here) as postgres, services.s3(folder, hosts.here) as s3:
            # A process keeps its client of a bucket, and other tests have one of another server's.
            services.make_bucket(s3, "hosts")
            yield hosts, postgres, services.S3_ENVIRONMENT | {"AWS_ENDPOINT_URL": s3}


class Host:
    """A host with a folder of its own."""

    def __init__(self, hosts, name, folder, environment):
        self.hosts, self.name, self.folder, self.started = hosts, name, folder, []
        self.environment = os.environ | environment | {"HOME": str(folder), "MOLBUFFER_CACHE": str(folder / "cache")}
        folder.mkdir()

    @property
    def store(self):
        return self.folder / "store"

    def start(self, *arguments):
        words = self.hosts.words(self.name, sys.executable, *arguments)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.started.append(subprocess.Popen(words, env=self.environment, cwd=self.folder, **pipes))
        return self.started[-1]


@contextmanager
def sharing(network, names, folder):
    """Hosts with the same new store; they are joined again afterwards."""
    hosts, postgres, environment = network
    made = [Host(hosts, name, folder / name, environment) for name in names]
    place = {"catalog_schema": f"s{uuid4().hex}", "data_path": f"s3://hosts/{uuid4().hex}"}
    SampleStore.create(made[0].store, catalog=f"{postgres}/postgres{QUICK}", **place).close()
    for host in made[1:]:
        shutil.copytree(made[0].store, host.store)
    yield made
    for host in made:
        for process in host.started:
            process.kill()
            process.communicate()
        hosts.join(host.name)


@pytest.fixture(scope="module", autouse=True)
def servers(network):
    """The environment variables that lead this machine to the object store."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in network[2].items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def pair(network, servers, tmp_path):
    """Two hosts with the same new store."""
    with sharing(network, network[0].names[:2], tmp_path) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def bereaved(network, servers, tmp_path_factory):
    """Two other hosts whose writers were killed and cut off, with what was acknowledged to both until then.

    It can take a minute until the one that is cut off gives up, while the other tests of this module are at work.
    """
    with sharing(network, network[0].names[2:], tmp_path_factory.mktemp("bereaved")) as (one, other):
        first = one.start(WRITER, "race", one.store, "0", "1000000", "one")
        second = other.start(WRITER, "race", other.store, "0", "1000000", "other")
        acknowledged = {build for _, build in lines(first, 5) + lines(second, 5)}
        first.kill()
        network[0].cut(other.name)
        yield one, other, acknowledged


def lines(process, number):
    return [process.stdout.readline().split() for _ in range(number)]


def test_a_host_that_is_cut_off_is_told_so_and_holds_nobody_up(pair, network):
    hosts, (away, here) = network[0], pair
    holder = away.start(WRITER, "hold", away.store)
    assert lines(holder, 1) == [["held"]]
    busy = away.start(WRITER, "race", away.store, "0", "1000000", "away")
    other = here.start(WRITER, "race", here.store, "0", "3", "here")
    wait_for_waiting(network[1], 2)
    # The lock of commits is with a host that nobody can reach any more.
    hosts.cut(away.name)
    said = lines(other, 3)
    assert [word for word, _ in said] == ["committed"] * 3, other.stderr.read()
    assert other.wait(PATIENCE_SECONDS) == 0
    _, errors = busy.communicate(timeout=PATIENCE_SECONDS)
    assert busy.returncode == 1
    assert "CatalogUnavailableError: " in errors.splitlines()[-1]
    # Back again, it goes on where it was.
    hosts.join(away.name)
    again = away.start(WRITER, "race", away.store, "0", "2", "away")
    assert [word for word, _ in lines(again, 2)] == ["committed"] * 2
    with SampleStore.open(here.store) as store:
        assert store.query("SELECT count(*), count(DISTINCT build_id) FROM samples").rows() == [(30, 5)]
        assert [each.message for each in store.verify().errors] == []


def test_r1_hosts_share_dear_scores_and_one_that_is_killed_leaves_only_what_it_was_at(pair):
    killed = pair[0]
    for host in pair:
        (host.folder / "dock_here.py").write_text(SCORER)
    first, second = (host.start("dock_here.py", host.store, "12", "0.5") for host in pair)
    for process in (first, second):
        assert lines(process, 1) == [["ready"]], process.stderr.read()
    wait_for_calls(killed, 10)
    (killed.folder / "hold").touch()
    with SampleStore.open(killed.store) as store:
        wait_for_nothing_but_a_held_call(killed, store)
    first.kill()
    said, errors = second.communicate(timeout=PATIENCE_SECONDS)
    assert (second.returncode, len(said.split())) == (0, 60), errors
    paid = [call for host in pair for call in calls_of(host)]
    assert len(set(paid)) == 60
    # The call that was in flight.
    assert len(paid) == 60 + 1
    assert all(len(calls_of(host)) >= 10 for host in pair)


def test_r1_scores_that_were_paid_for_wait_for_the_network(pair, network):
    hosts, (away, here) = network[0], pair
    (away.folder / "dock_here.py").write_text(SCORER)
    # Nothing but a score wants the store while the host is cut off: no claim is renewed.
    process = away.start("dock_here.py", away.store, "1200", "600")
    assert lines(process, 1) == [["ready"]], process.stderr.read()
    wait_for_calls(away, 20)
    (away.folder / "hold").touch()
    with SampleStore.open(here.store) as store:
        wait_for_nothing_but_a_held_call(away, store)
    hosts.cut(away.name)
    (away.folder / "hold").unlink()
    warned = ""
    while "scores of dock are kept" not in warned:
        said = process.stderr.readline()
        assert said, warned
        warned += said
    hosts.join(away.name)
    said, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, len(said.split())) == (0, 60), errors
    # Nobody else was there to claim anything meanwhile.
    assert sorted(calls_of(away)) == sorted(set(calls_of(away)))
    with SampleStore.open(here.store) as store:
        assert store.query("SELECT count(*) FROM scores WHERE status = 'ok'").item() == 60


def wait_for_waiting(postgres, number):
    """Until as many wait for one lock of commits."""
    waiting = """SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        GROUP BY classid, objid ORDER BY n DESC LIMIT 1"""
    end = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        while (connection.execute(waiting).fetchone() or (0,))[0] < number:
            assert time.monotonic() < end, "nobody waits"
            time.sleep(0.05)


def calls_of(host):
    return (host.folder / "calls").read_text().split() if (host.folder / "calls").exists() else []


def wait_for_calls(host, number):
    end = time.monotonic() + PATIENCE_SECONDS
    while len(calls_of(host)) < number:
        assert time.monotonic() < end, "no calls"
        time.sleep(0.02)


def wait_for_nothing_but_a_held_call(host, store):
    """Until a call is held, and the scores of all calls before it are stored and their claims given back."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        time.sleep(0.05)
        assert time.monotonic() < end, "no call is held, or scores of earlier ones are not stored"
        if (host.folder / "held").exists():
            earlier = calls_of(host)[:-1]
            stored = store.query("SELECT smiles, version FROM scores")
            version = stored["version"][0]
            if set(earlier) <= set(stored["smiles"]) and not store.claims.holders("dock", version, earlier):
                return


def test_what_was_acknowledged_to_a_host_that_is_killed_or_cut_off_is_there(bereaved):
    one, other, acknowledged = bereaved
    (first,), (second,) = one.started, other.started
    acknowledged |= {line.split()[1] for line in first.communicate()[0].splitlines() if line.count(" ")}
    acknowledged |= {line.split()[1] for line in second.communicate(timeout=PATIENCE_SECONDS)[0].splitlines()}
    with SampleStore.open(one.store) as store:
        stored = store.query("SELECT build_id, count(*) AS rows FROM samples GROUP BY build_id")
        assert acknowledged <= set(stored["build_id"])
        assert set(stored["rows"]) == {6}
        assert [each.message for each in store.verify().errors] == []
