"""An open SQL shell of another DuckDB stops nobody, and what it sees stays the same until it looks again."""

import subprocess
import sys

from molbuffer.storage.records import Commit

SHELL = """
import os, sys
import duckdb
settings = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
database = duckdb.connect(config=settings | {"extension_directory": os.devnull})
for statement in sys.stdin.readline().split(";"):
    database.execute(statement)
database.execute("BEGIN")
for _ in sys.stdin:
    print(database.execute("SELECT count(*), max(iteration) FROM sample_history").fetchone(), flush=True)
    if _.startswith("again"):
        database.execute("ROLLBACK; BEGIN")
"""


def test_an_attached_shell_stops_no_writer_and_reads_one_version(started, make):
    printed = started.attach_sql()
    # All that it needs lies in this environment, so that nothing is downloaded.
    assert "INSTALL" not in printed
    started.commit(Commit([make.make_build(0)]))
    shell = subprocess.Popen(
        [sys.executable, "-c", SHELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def ask(line):
        print(line, file=shell.stdin, flush=True)
        return shell.stdout.readline().strip()

    print(" ".join(printed.split()).rstrip(";"), file=shell.stdin, flush=True)
    try:
        assert ask("look") == "(6, 0)"
        for iteration in range(1, 4):
            started.commit(Commit([make.make_build(iteration)]))
        assert ask("look") == "(6, 0)"
        assert ask("again") == "(6, 0)"
        assert ask("look") == "(24, 3)"
    finally:
        shell.kill()
        errors = shell.communicate()[1]
    assert errors == ""
