"""Which files and cases take how much CPU, for ``pytest --cpu``: unlike time, that means the same on a busy machine.

What a process takes that a case has started counts once it has ended, for the case in which that is.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

SHOWN = 40


def cpu_seconds() -> float:
    """What this process and its children that have ended took."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class CpuCosts:
    """Measures each phase of a case, and shows the sums."""

    def __init__(self) -> None:
        self._last = cpu_seconds()
        self._cases: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self._last = cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        # It goes with the report from a worker of xdist to the process that shows it.
        now = cpu_seconds()
        report.cpu_seconds, self._last = now - self._last, now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._cases[report.nodeid] += getattr(report, "cpu_seconds", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        files: Counter[str] = Counter()
        for case, seconds in self._cases.items():
            files[case.split("::")[0]] += seconds
        terminalreporter.section(f"{sum(files.values()):.0f} s of CPU")
        for costs in (files, self._cases):
            for name, seconds in costs.most_common(SHOWN):
                terminalreporter.write_line(f"{seconds:8.1f} {name}")
            terminalreporter.write_line("")
