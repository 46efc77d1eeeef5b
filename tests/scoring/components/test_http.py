"""Services of the user, with a real server: molecules fail by what it says of them, and are lost where it is away."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from molbuffer.samplers import Scorer
from molbuffer.scoring import Objective, ScoringConfigurationError
from molbuffer.scoring.components import HTTPService, joint_call
from molbuffer.storage import SampleStore

MOLECULES = ["C" * n for n in range(1, 6)]
Rows = list[dict[str, Any]]
Answer = tuple[int, object] | tuple[int, object, dict[str, str]]


def lengths(rows: Rows, **more: Callable[[str], object]) -> Rows:
    values = more or {"length": len}
    return [{"id": row["id"], **{name: of(row["smiles"]) for name, of in values.items()}} for row in rows]


@dataclass
class Service:
    """A server whose answers are those of a function of the rows and the number of the request."""

    answer: Callable[[Rows, int], Answer] = lambda rows, _: (200, lengths(rows))
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    server: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/score"

    @property
    def asked(self) -> list[list[str]]:
        return [[row["smiles"] for row in request["molecules"]] for request in self.requests]

    def component(self, *urls: str, **keys: Any) -> HTTPService:
        return HTTPService([self.url, *urls], **{"revision": "1", "pause": 0.0, "retries": 2, "timeout": 20.0, **keys})


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    """Starts servers, which end with the test."""
    servers = []

    def start_service(answer: Callable[[Rows, int], Answer] | None = None) -> Service:
        service = Service() if answer is None else Service(answer)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service.lock:
                    service.requests.append(request)
                    service.headers.append(dict(self.headers))
                    number = len(service.requests)
                status, content, *headers = service.answer(request["molecules"], number)
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers[0] if headers else {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        service.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A client that has no patience left is no error of a server.
        service.server.handle_error = lambda *_: None
        servers.append(service.server)
        threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return service

    yield start_service
    for server in servers:
        server.shutdown()
        server.server_close()


def found(component: HTTPService, molecules: list[str] = MOLECULES) -> list[tuple[object, str]]:
    scores = component.values(molecules)
    return [(s.value if s.error is None else "lost" if s.lost else "failed", s.error or "") for s in scores]


def states(component: HTTPService) -> list[object]:
    return [state for state, _ in found(component)]


def test_molecules_go_in_batches_with_the_parameters(start: Callable[..., Service]) -> None:
    service = start()
    component = service.component(batch_size=2, parameters={"target": "5ht2a"}, headers={"X-Team": "chem"})
    assert states(component) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert service.asked == [["C", "CC"], ["CCC", "CCCC"], ["CCCCC"]]
    assert [request["parameters"] for request in service.requests] == [{"target": "5ht2a"}] * 3
    assert {headers["X-Team"] for headers in service.headers} == {"chem"}


def test_answers_are_matched_by_id_in_either_form(start: Callable[..., Service]) -> None:
    def answer(rows: Rows, _: int) -> Answer:
        told = lengths(rows[::-1])[:4]
        told[0] |= {"length": None, "error": "no conformer"}
        told[1]["length"] = float("nan")
        return 200, {"results": told}

    component = start(answer).component()
    assert found(component) == [
        ("failed", "the answer has no row with its id"),
        (2.0, ""),
        (3.0, ""),
        ("failed", "got nan, expected a finite number"),
        ("failed", "no conformer"),
    ]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_requests_are_made_again_where_the_service_is_busy(start: Callable[..., Service], status: int) -> None:
    service = start(lambda rows, number: (status, "busy") if number < 3 else (200, lengths(rows)))
    assert states(service.component()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(service.asked) == 3


def test_a_service_says_how_long_to_wait(start: Callable[..., Service]) -> None:
    waits = [{"Retry-After": "0.3"}, {"Retry-After": formatdate(time.time() + 1, usegmt=True)}]
    service = start(lambda rows, number: (429, "", waits[number - 1]) if number < 3 else (200, lengths(rows)))
    started = time.monotonic()
    assert states(service.component()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert 0.3 <= time.monotonic() - started < 200
    patient = start(lambda rows, _: (503, "", {"Retry-After": "3600"}))
    told = found(patient.component(most_patience=60.0))
    assert [state for state, _ in told] == ["lost"] * 5
    assert "it asks to wait 3600 seconds by Retry-After, and most_patience allows 60" in told[0][1]
    assert len(patient.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_service_that_refuses_all_is_asked_once(start: Callable[..., Service], status: int) -> None:
    service = start(lambda rows, _: (status, "not you"))
    told = found(service.component(batch_size=2))
    assert [state for state, _ in told] == ["lost"] * 5
    assert f"/score answered {status}" in told[0][1]
    assert "not you" in told[-1][1]
    assert len(service.asked) == 1


@pytest.mark.parametrize(("status", "state"), [(400, "failed"), (422, "failed"), (500, "lost")])
def test_a_molecule_that_a_service_cannot_take_is_found(start: Callable[..., Service], status: int, state: str) -> None:
    def answer(rows: Rows, _: int) -> Answer:
        return (status, "odd") if any(row["smiles"] == "CCC" for row in rows) else (200, lengths(rows))

    told = found(start(answer).component(retries=1))
    assert [each for each, _ in told] == [1.0, 2.0, state, 4.0, 5.0]
    assert told[2][1].endswith(": odd") or '"odd"' in told[2][1]


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff\xfe", b'{"error": "down"}', b"[1, 2]", b"[[[" * 10_000])
def test_an_answer_that_is_none_fails_molecules_only_if_others_have_one(
    start: Callable[..., Service], body: bytes
) -> None:
    assert states(start(lambda rows, _: (200, body)).component(retries=0)) == ["failed"] * 5
    many = ["C" * n for n in range(1, 20)]
    service = start(lambda rows, _: (200, body))
    assert {state for state, _ in found(service.component(retries=0), many)} == {"lost"}
    assert len(service.asked) < 2 * joint_call.MOST_FAILURES + 8


def test_an_endpoint_that_is_away_is_stood_in_for(start: Callable[..., Service]) -> None:
    service, gone = start(), start()
    url = gone.url
    gone.server.shutdown()
    gone.server.server_close()
    assert states(service.component(url, batch_size=1)) == [1.0, 2.0, 3.0, 4.0, 5.0]
    away = HTTPService([url], revision="1", retries=1, pause=0.0)
    told = found(away)
    assert [state for state, _ in told] == ["lost"] * 5
    assert "did not answer: ConnectError" in told[0][1]


def test_endpoints_take_turns(start: Callable[..., Service]) -> None:
    services = [start(), start()]
    component = services[0].component(services[1].url, batch_size=1)
    states(component)
    assert sorted(len(service.asked) for service in services) == [2, 3]


def test_a_request_without_an_answer_in_time_is_tried_with_fewer_molecules(start: Callable[..., Service]) -> None:
    ended = threading.Event()

    def answer(rows: Rows, _: int) -> Answer:
        if any(row["smiles"] == "CCC" for row in rows):
            ended.wait(600)
        return 200, lengths(rows)

    component = start(answer).component(timeout=1.0)
    told = found(component)
    ended.set()
    assert [state for state, _ in told] == [1.0, 2.0, "lost", 4.0, 5.0]
    assert told[2][1].endswith("gave no answer within 1 seconds")


def test_the_secret_comes_from_the_environment_and_goes_nowhere_else(
    start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, store: SampleStore
) -> None:
    service = start(lambda rows, _: (403, f"{service.headers[-1]['Authorization']} is not allowed"))
    component = service.component(auth="SCORER_TOKEN")
    with pytest.raises(ScoringConfigurationError, match="SCORER_TOKEN"):
        found(component)
    monkeypatch.setenv("SCORER_TOKEN", "s3cret\n")
    told = found(component)
    assert service.headers[-1]["Authorization"] == "Bearer s3cret"
    assert "Bearer *** is not allowed" in told[0][1]
    assert "s3cret" not in f"{told} {component!r} {component.version}"
    keyed = service.component(auth="SCORER_TOKEN", auth_header="X-API-Key", auth_scheme="")
    service.answer = lambda rows, _: (200, lengths(rows, error=lambda _: service.headers[-1]["X-API-Key"]))
    assert found(keyed)[0] == ("failed", "***")
    monkeypatch.setenv("SCORER_TOKEN", "sécret")
    with pytest.raises(ScoringConfigurationError, match="SCORER_TOKEN"):
        found(component)


def test_several_values_of_one_request(start: Callable[..., Service], store: SampleStore) -> None:
    service = start(lambda rows, _: (200, lengths(rows, a=lambda s: len(s) / 10, b=lambda s: len(s) / 20)))
    parts = [service.component(output=output) for output in "ab"]
    scored = Scorer(Objective(parts), store).score(MOLECULES)
    assert (service.asked, scored.values["http:b"].tolist()) == ([MOLECULES], [0.05, 0.1, 0.15, 0.2, 0.25])
    assert store.query("SELECT count(*) FROM scores WHERE status = 'ok'").item() == 10


def test_requests_at_once(start: Callable[..., Service]) -> None:
    both = threading.Barrier(2, timeout=600)

    def answer(rows: Rows, _: int) -> Answer:
        both.wait()
        return 200, lengths(rows)

    service = start(answer)
    component = service.component(batch_size=1, connections=2)
    assert [state for state, _ in found(component, ["C", "CC"])] == [1.0, 2.0]


def test_a_version_is_that_of_what_decides_the_values() -> None:
    def version(**keys: Any) -> str:
        return HTTPService(**{"urls": ["http://a/score"], "revision": "1", **keys}).version

    known = version()
    for same in ({"urls": ["http://b"]}, {"timeout": 5.0}, {"batch_size": 3}, {"auth": "TOKEN"}, {"name": "n"}):
        assert version(**same) == known
    for other in ({"output": "a"}, {"revision": "2"}, {"parameters": {"x": 1}}, {"id_column": "key"}):
        assert version(**other) != known


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"urls": []}, "expected the endpoints of a service, got none"),
        ({"urls": ["ftp://host/x"]}, "expected the URL of an endpoint"),
        ({"urls": ["host:8000"]}, "expected the URL of an endpoint"),
        ({"urls": ["http://host:99999/"]}, "is no URL"),
        ({"urls": ["https://me:pass@host/"]}, "has a password, which would be stored"),
        ({"headers": {"authorization": "Bearer x"}}, "has a secret: .*`auth`"),
        ({"revision": ""}, "revision"),
        ({"parameters": {"x": float("nan")}}, "must be JSON values"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_a_service_that_cannot_be_is_refused(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as raised:
        HTTPService(**{"urls": ["http://a/score"], "revision": "1", **keys})
    assert "me:pass" not in str(raised.value)
