"""Gates of a sweep: three seeds, one fingerprint, every run named, and the largest artifact under the cap."""

from __future__ import annotations

from recur.record.result import Scores, SeedResult, State
from recur.record.rules.gate import Gate, Verdict
from recur.record.rules.sweep import RunLine, sweep_gates


def seed(number: int, *, state: State = State.SUCCEEDED, total_bytes: int = 900) -> SeedResult:
    return SeedResult(seed=number, state=state, attempt=1, val_bpb=Scores(sliding=1.1), total_bytes=total_bytes, cap_bytes=1000)


def line(number: int, *, sweep: str = "a", shown: bool = True) -> RunLine:
    return RunLine(sweep=sweep, seed=number, attempt=1, state="SUCCEEDED", val_bpb=1.1, shown=shown)


def verdicts(gates: tuple[Gate, ...]) -> list[Verdict]:
    return [gate.verdict for gate in gates]


def test_three_seeds_of_one_fingerprint_pass() -> None:
    gates = sweep_gates([seed(1), seed(2), seed(3)], ["f", "f", "f"], [line(1), line(2), line(3)])
    assert verdicts(gates) == [Verdict.PASS] * 4


def test_two_seeds_are_too_few_and_an_invalid_one_does_not_count() -> None:
    gates = sweep_gates([seed(1), seed(2), seed(3, state=State.INVALID)], ["f"] * 3, [line(1), line(2)])
    assert verdicts(gates)[0] is Verdict.FAIL and gates[0].value == 2


def test_seeds_of_two_fingerprints_fail() -> None:
    gates = sweep_gates([seed(1), seed(2), seed(3)], ["f", "f", "g"], [line(1), line(2), line(3)])
    assert verdicts(gates)[1] is Verdict.FAIL and gates[1].value == 2


def test_runs_of_other_sweeps_are_counted_beside_those_shown() -> None:
    runs = [line(1), line(2), line(3), line(1, sweep="b", shown=False), line(9, sweep="b", shown=False)]
    gates = sweep_gates([seed(1), seed(2), seed(3)], ["f"] * 3, runs)
    assert gates[2].verdict is Verdict.PASS and gates[2].value == 5 and "2 beyond" in gates[2].why
    missing = sweep_gates([seed(1), seed(2), seed(3)], ["f"] * 3, runs[1:])
    assert missing[2].verdict is Verdict.FAIL


def test_the_cap_binds_the_largest_seed_not_the_mean() -> None:
    gates = sweep_gates([seed(1, total_bytes=10), seed(2, total_bytes=1001), seed(3, total_bytes=10)], ["f"] * 3, [line(1)])
    assert gates[3].verdict is Verdict.FAIL and gates[3].value == 1001


def test_no_seed_that_counts_passes_nothing_by_accident() -> None:
    gates = sweep_gates([seed(1, state=State.FAILED)], [], [])
    assert gates[0].verdict is gates[1].verdict is gates[3].verdict is Verdict.FAIL
