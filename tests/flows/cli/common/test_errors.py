"""Errors that a user can correct are one line: those of every room are known to be such."""

import importlib
import inspect

import pytest

from molbuffer.flows.cli.common.errors import is_for_users

ROOMS = ("exchange", "flows", "kinds", "lab", "samplers", "scoring", "storage", "training")


@pytest.mark.parametrize("room", ROOMS)
def test_the_errors_of_a_room_are_reported_without_a_traceback(room: str) -> None:
    module = importlib.import_module(f"molbuffer.{room}.errors")
    found = [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, Exception)]
    assert found
    assert [each.__name__ for each in found if not is_for_users(each.__new__(each))] == []
