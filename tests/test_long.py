"""The long suites' runner, on a suite of two tests: what has passed is not run again, with the same source."""

from __future__ import annotations

from pathlib import Path

from tests.long import Piece, run

SUITE = """
from pathlib import Path

HERE = Path(__file__).parent

def count(name):
    (HERE / name).open("a").write("x")

def test_first():
    count("first")

def test_second():
    count("second")
    assert (HERE / "well").exists(), "not yet"
"""


def ran(folder: Path) -> tuple[int, int]:
    """How often each of the two tests has run."""
    first, second = ((folder / name).read_text() for name in ("first", "second"))
    return len(first), len(second)


def test_a_suite_goes_on_with_the_tests_that_have_not_passed_with_its_source(tmp_path: Path) -> None:
    suite, results = tmp_path / "test_suite.py", tmp_path / "results"
    suite.write_text(SUITE)
    piece = Piece(target=str(suite), results=results)
    assert not run(piece, "one", {})["passed"]
    assert ran(tmp_path) == (1, 1) and "not yet" in (results / "failures.log").read_text()
    assert not run(piece, "one", {})["passed"]
    assert ran(tmp_path) == (1, 2), "what had passed ran again"
    assert not run(piece, "two", {})["passed"]
    assert ran(tmp_path) == (2, 3), "it had passed with another source"
    (tmp_path / "well").touch()
    assert run(piece, "two", {})["passed"]
    assert ran(tmp_path) == (2, 4) and not list(results.glob("passed_*"))


def test_a_suite_of_which_all_had_passed_when_it_was_cut_off_passes(tmp_path: Path) -> None:
    suite = tmp_path / "test_suite.py"
    piece = Piece(target=str(suite), results=tmp_path)
    suite.write_text(SUITE)
    assert not run(piece, "one", {})["passed"] and list(tmp_path.glob("passed_*"))
    suite.write_text(SUITE.split("def test_second")[0])
    assert run(piece, "one", {})["passed"]
    assert ran(tmp_path) == (1, 1)
