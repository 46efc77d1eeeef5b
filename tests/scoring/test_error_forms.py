"""Errors that differ in values are counted together, and shown by an example."""

import pytest

from molbuffer.scoring import commonest_error
from molbuffer.scoring.error_forms import error_form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 3.5 s of 10", "took 12 s of 10"),
        ("got -0.25, expected at least 0", "got 1e-07, expected at least 0"),
        ("job 6f1c2d9e-aaaa-bbbb-cccc-dddddddddddd is lost", "job 00000000-0000-4000-8000-000000000000 is lost"),
        ("task a3f09b failed at 12:30:05.1", "task 77de failed at 01:02:03"),
        ("no pose of CCO", "no pose of c1ccccc1"),
        ("'CCO' has no pose", "'c1ccccc1' has no pose"),
    ],
)
def test_values_do_not_tell_errors_apart(one: str, other: str) -> None:
    assert error_form(one, "CCO") == error_form(other, "c1ccccc1")


@pytest.mark.parametrize(
    ("one", "other"),
    [("no licence", "no pose"), ("503 Service Unavailable", "404 Not Found"), ("No Conformer", "onformer")],
)
def test_words_tell_errors_apart(one: str, other: str) -> None:
    assert error_form(one, "C") != error_form(other, "C")


def test_the_commonest_error_counts_molecules_and_is_an_example() -> None:
    errors = [("C", "pose 2"), ("C", "pose 3"), ("CC", "late by 9 s"), ("CCC", "late by 17 s"), ("", "odd")]
    assert commonest_error(errors) == ("late by 17 s", 2)
    assert commonest_error(reversed(errors)) == ("late by 17 s", 2)
    assert commonest_error([]) is None
