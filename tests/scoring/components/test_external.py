"""Programs of the user: what they answer is matched by id, and what they do costs no other molecule its score."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molbuffer.samplers import Scorer, score_again
from molbuffer.scoring import Objective, RawScore, ScoringConfigurationError, WeightedComponent
from molbuffer.scoring.components import ExternalProgram, joint_call
from molbuffer.scoring.transforms import Linear
from molbuffer.storage import SampleStore, ScoreStatus

HEAD = """#!{python}
import csv, json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
rows = list(csv.DictReader(sys.stdin))
with open(os.path.join(here, "calls.log"), "a") as log:
    print(*[row["smiles"] for row in rows], file=log)
def answer(rows, **values):
    values = values or {"length": lambda smiles: len(smiles)}
    print("id", *values, sep=",")
    for row in rows:
        print(row["id"], *[of(row["smiles"]) for of in values.values()], sep=",")
"""
MOLECULES = ["C" * n for n in range(1, 6)]
Make = Callable[..., ExternalProgram]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a component of a program with this text after the head."""

    def make_program(text: str, head: str = HEAD, **keys: Any) -> ExternalProgram:
        script = tmp_path / "program.py"
        script.write_text(head.replace("{python}", sys.executable) + text)
        script.chmod(0o755)
        return ExternalProgram(["program.py"], folder=str(tmp_path), **{"pause": 0.0, "retries": 0, **keys})

    return make_program


def calls(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "calls.log").read_text().splitlines()]


def found(component: ExternalProgram, molecules: Sequence[str] = MOLECULES) -> list[tuple[object, str]]:
    """Each value, or how there is none, with the error."""
    return [_short(score) for score in component.values(molecules)]


def _short(score: RawScore) -> tuple[object, str]:
    return score.value if score.error is None else "lost" if score.lost else "failed", score.error or ""


def states(component: ExternalProgram, molecules: Sequence[str] = MOLECULES) -> list[object]:
    return [state for state, _ in found(component, molecules)]


def test_a_program_is_called_with_batches(make: Make, tmp_path: Path) -> None:
    assert states(make("answer(rows)", batch_size=2)) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert calls(tmp_path) == [["C", "CC"], ["CCC", "CCCC"], ["CCCCC"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("answer(rows[::-1])", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("answer(rows[:2] + rows[3:])", [1.0, 2.0, "failed", 4.0, 5.0]),
        # Values that slipped by a row belong to the row that they are in; the last one has none.
        ("answer(rows[1:])", ["failed", 2.0, 3.0, 4.0, 5.0]),
        ("answer(rows + rows[:2])", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("answer(rows); print(rows[1]['id'], 99, sep=',')", [1.0, "failed", 3.0, 4.0, 5.0]),
        ("answer([dict(row, id=str(at)) for at, row in enumerate(rows)])", ["failed"] * 5),
        (
            "answer(rows, length=lambda s: {1: 'nan', 2: 'inf', 3: '', 4: 'high'}.get(len(s), 0.5))",
            ["failed", "failed", "failed", "failed", 0.5],
        ),
        ("answer(rows, x=len, error=lambda s: '' if 'CC' in s else 'too small')", ["failed", 2.0, 3.0, 4.0, 5.0]),
        ("print('id,length'); [print(r['id']) for r in rows]", ["failed"] * 5),
    ],
)  # fmt: skip
def test_answers_are_matched_by_id(make: Make, tmp_path: Path, text: str, expected: list[object]) -> None:
    component = make(text)
    assert states(component) == expected
    assert len(calls(tmp_path)) == 1, "an answer is an answer"


def test_rows_of_unknown_ids_are_reported(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    component = make("answer([*rows[1:], {'id': 'other', 'smiles': 'N'}])")
    (_, error), *_ = found(component)
    assert error == "the answer has no row with its id; 1 rows of the answer have unknown ids, such as 'other'"
    assert caplog.text.count("unknown ids, such as 'other'") == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sys.exit('no value for this')", "the program ended with exit code 1: no value for this"),
        ("os.kill(os.getpid(), 11)", "the program ended with signal SIGSEGV"),
        ("print('garbage')", "the answer has no column 'id'; it has 'garbage'"),
        ("pass", "the program wrote nothing"),
        ("sys.stdout.buffer.write(b'id,x\\n\\xff\\xfe')", "the answer is no UTF-8"),
        ("print('id,x\\n\"')", "the answer is no table in CSV"),
        ("print('id,x\\n' + 'x' * 200_000)", "the answer is no table in CSV"),
        ("answer(rows, a=len, b=len)", "the answer has the values 'a', 'b': `output` must say which is meant"),
    ],
)
def test_a_molecule_at_fault_is_found_and_fails_alone(make: Make, tmp_path: Path, text: str, error: str) -> None:
    component = make(f"if any(row['smiles'] == 'CCC' for row in rows):\n    {text}\nelse:\n    answer(rows)\n")
    told = found(component)
    assert [state for state, _ in told] == [1.0, 2.0, "failed", 4.0, 5.0]
    assert told[2][1].startswith(error)
    assert calls(tmp_path) == [MOLECULES, ["C", "CC", "CCC"], ["C", "CC"], ["CCC"], ["CCCC", "CCCCC"]]


def test_a_program_that_is_down_loses_what_it_was_asked_for_and_is_not_asked_for_ever(
    make: Make, tmp_path: Path
) -> None:
    many = ["C" * n for n in range(1, 41)]
    told = found(make("sys.exit('no licence')", batch_size=1), many)
    assert Counter(state for state, _ in told) == {"lost": 40}
    assert len(calls(tmp_path)) <= joint_call.MOST_FAILURES + 1
    assert told[-1][1].startswith("not tried, since 8 others in a row had no answer, the last: the program ended with")


def test_a_program_may_say_that_it_cannot_work_for_now(make: Make, tmp_path: Path) -> None:
    told = found(make("print('no licence left', file=sys.stderr); sys.exit(75)", batch_size=2))
    assert [state for state, _ in told] == ["lost"] * 5
    assert told[0][1] == "the program cannot work for now (exit code 75): no licence left"
    assert len(calls(tmp_path)) == 1


def test_a_call_that_fails_is_tried_again(make: Make, tmp_path: Path) -> None:
    component = make("sys.exit('busy') if os.path.getsize(here + '/calls.log') < 30 else answer(rows)", retries=2)
    assert states(component) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert calls(tmp_path) == [MOLECULES] * 2


def test_a_program_that_hangs_is_ended_with_all_it_has_started(make: Make, tmp_path: Path) -> None:
    # A child that ignores signals, holds the output open, and would go on for long.
    forking = """
if any(row["smiles"] == "CCC" for row in rows):
    import signal, subprocess
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    with open(here + "/child", "w") as file:
        print(subprocess.Popen([sys.executable, "-c", child]).pid, file=file)
    time.sleep(600)
answer(rows)
"""
    started = time.monotonic()
    told = found(make(forking, timeout=3.0, batch_size=1))
    assert [state for state, _ in told] == [1.0, 2.0, "lost", 4.0, 5.0]
    assert told[2][1] == "no answer within 3 seconds"
    assert time.monotonic() - started < 500
    assert not _lives(int((tmp_path / "child").read_text()))


def test_children_that_outlive_their_program_are_ended(make: Make, tmp_path: Path) -> None:
    leaving = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(here + "/child", "w").write(str(child.pid))
answer(rows)
"""
    assert states(make(leaving)) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert not _lives(int((tmp_path / "child").read_text()))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_writes_without_end_is_ended(make: Make) -> None:
    component = make("while True: os.write(1, b'x' * 2**20)")
    ((state, error),) = found(component, ["C"])
    assert (state, error) == ("failed", "the program wrote more than 64 MiB")


def test_what_a_program_says_apart_from_its_answer_is_no_part_of_it(make: Make) -> None:
    assert states(make("sys.stderr.write('warning\\n' * 100_000); answer(rows)")) == [1.0, 2.0, 3.0, 4.0, 5.0]


OTHER = """#!{python}
import json, sys
"""


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        (
            "smi",
            "print('id,x'); [print(line.split('\\t')[1].strip(), line.find('\\t'), sep=',') for line in sys.stdin]",
        ),
        (
            "json",
            "rows = json.load(sys.stdin)['molecules']\n"
            "print(json.dumps({'results': [{'id': r['id'], 'x': len(r['smiles'])} for r in rows]}))",
        ),
        (
            "json",
            "print(json.dumps([{'id': r['id'], 'x': len(r['smiles'])} for r in json.load(sys.stdin)['molecules']]))",
        ),
        (
            "reinvent",
            "smiles = [line.strip() for line in sys.stdin]\n"
            "print(json.dumps({'version': 1, 'payload': {'predictions': list(map(len, smiles))}}))",
        ),
    ],
)
def test_protocols(make: Make, protocol: str, text: str) -> None:
    assert states(make(text, OTHER, protocol=protocol)) == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("payload", ["{'predictions': [1] * 7}", "{}", "[]", "{'a': [1] * 5, 'b': [1] * 5}"])
def test_values_in_order_count_only_if_there_is_one_for_each_molecule(make: Make, payload: str) -> None:
    component = make(f"print(json.dumps({{'version': 1, 'payload': {payload}}}))", OTHER, protocol="reinvent")
    assert states(component) == ["failed"] * 5


def test_files_instead_of_pipes(tmp_path: Path) -> None:
    (tmp_path / "copy.py").write_text("import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read())")
    command = ["{python}", "copy.py", "{input}", "{output}"]
    told = found(ExternalProgram(command, folder=str(tmp_path), retries=0), ["C"])
    assert told == [("failed", "the answer has the values none: `output` must say which is meant")]
    (tmp_path / "count.py").write_text(
        "import sys; print(open(sys.argv[1]).read().replace('smiles', 'x').replace('CC', '2').replace('C', '1'),"
        " file=open(sys.argv[2], 'w'))"
    )
    command[1] = "count.py"
    assert states(ExternalProgram(command, folder=str(tmp_path)), ["C", "CC"]) == [1.0, 2.0]


@pytest.mark.parametrize("cost", ["high", "low"])
def test_several_values_of_one_call(make: Make, tmp_path: Path, store: SampleStore, cost: str) -> None:
    text = "answer(rows, a=lambda s: 'nan' if s == 'CC' else len(s) / 10, b=lambda s: len(s) / 20)"
    parts = [make(text, output=output, name=f"of-{output}", cost=cost) for output in "ab"]
    scored = Scorer(Objective(parts), store).score(MOLECULES)
    store.record_scores(scored.new)
    assert calls(tmp_path) == [MOLECULES]
    assert scored.rewards.round(6).tolist()[0] == round((0.1 * 0.05) ** 0.5, 6)
    assert (scored.errors.keys(), scored.values["of-b"].tolist()) == ({"CC"}, [0.05, 0.1, 0.15, 0.2, 0.25])
    counted = store.query("SELECT component, status, count(*) FROM scores GROUP BY ALL ORDER BY ALL").rows()
    assert counted == [("of-a", "failed", 1), ("of-a", "ok", 4), ("of-b", "ok", 5)]
    # Another value of the same call is computed when it is asked for, and both are known afterwards.
    (tmp_path / "calls.log").unlink()
    Scorer(Objective(parts), store).score(MOLECULES)
    assert not (tmp_path / "calls.log").exists()
    assert (parts[0].call, parts[0].version) != (parts[1].call, parts[1].version)


def test_lost_values_of_one_call_are_tried_again_by_one_call(make: Make, tmp_path: Path, store: SampleStore) -> None:
    text = "sys.exit(75) if not os.path.exists(here + '/up') else answer(rows, a=len, b=len)"
    parts = [WeightedComponent(make(text, output=output), transform=Linear(0, 10)) for output in "ab"]
    scorer = Scorer(Objective(parts), store, "run-1")
    assert np.isnan(scorer.score(MOLECULES).rewards).all()
    (tmp_path / "up").touch()
    found = score_again(replace(scorer, run_id="run-2"), "run-2", statuses=[ScoreStatus.LOST])
    assert (found.tried, found.scored, calls(tmp_path)) == (10, 10, [MOLECULES] * 2)


def test_a_value_with_its_standard_deviation(make: Make) -> None:
    text = "answer(rows, a=len, sd=lambda s: {'CC': '', 'CCC': -1}.get(s, 0.5))"
    plain = make(text, output="a")
    component = make(text, std="sd")
    told = [(score.value, score.std, score.error) for score in component.values(MOLECULES)]
    assert told[0] == (1.0, 0.5, None)
    assert [value for value, _, _ in told] == [1.0, None, None, 4.0, 5.0]
    assert told[2][2] == "the standard deviation: got -1.0, expected at least 0"
    assert (plain.call, plain.version != component.version) == (component.call, True)
    assert states(make(text, output="a", std="none"), ["C"]) == ["failed"]


def test_who_claims_a_molecule_claims_it_for_all_values_of_a_call(make: Make) -> None:
    from molbuffer.scoring.components import claimed_as

    parts = [make("answer(rows)", output=output) for output in "ab"]
    assert claimed_as(parts[0]) == claimed_as(parts[1]) != claimed_as(make("answer(rows)", revision="2"))


def test_a_version_is_that_of_the_files_and_of_what_decides_the_values(make: Make, tmp_path: Path) -> None:
    component = make("answer(rows)")
    known = component.version
    for same in ({"timeout": 5.0}, {"batch_size": 3}, {"retries": 9}, {"cost": "low"}, {"name": "other"}):
        assert make("answer(rows)", **same).version == known
    for other in ({"output": "length"}, {"revision": "2"}, {"id_column": "key"}, {"protocol": "smi"}):
        assert make("answer(rows)", **other).version != known
    assert make("answer(rows) ").version != known
    with pytest.raises(ScoringConfigurationError, match=r"'program.py', of which external .* has changed"):
        component.values(["C"])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"command": ["no-such-program"]}, "cannot be run: it is neither in .* nor on the PATH"),
        ({"command": ["plain.txt"]}, "cannot be run: it is not executable"),
        ({"command": []}, "expected a program and its arguments"),
        ({"command": ["sh", "-c", "true"]}, "names no file .*give it a revision"),
        ({"command": ["{input}"], "revision": "1"}, "begins with {input}"),
        ({"command": ["sh"], "revision": "1", "protocol": "xml"}, "xml"),
        ({"command": ["sh"], "revision": "1", "files": ["gone"]}, "the file 'gone' of external 'sh' cannot be read"),
        ({"command": ["sh"], "revision": "1", "timeout": 0.0}, "timeout"),
    ],
)
def test_a_program_that_cannot_be_is_refused(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    with pytest.raises(ValueError, match=expected):
        ExternalProgram(folder=str(tmp_path), **keys)


def test_a_program_that_vanishes_is_lost(make: Make, tmp_path: Path) -> None:
    component = make("answer(rows)")
    (tmp_path / "program.py").write_text("#!/no/such/python\n")
    vanished = ExternalProgram(["program.py"], folder=str(tmp_path), retries=0)
    assert component.version != vanished.version
    ((state, error), *_) = found(vanished)
    assert (state, "cannot be started" in error) == ("lost", True)
