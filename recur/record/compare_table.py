"""A comparison of two arms as one table for the terminal, and the same as plain text."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recur.record.compare import CONFIDENCE, Comparison
from recur.record.stats.arm import Arm
from recur.record.stats.verdicts import shown_p
from recur.record.table import decimals


def compare_table(comparison: Comparison) -> Table:
    """One row a number, then the keys of the recipes that differ; an absent value is "-", warnings stand below."""
    found = comparison
    table = Table(
        title=escape(f"{found.a.label} {found.verdict.relation} {found.b.label}"),
        caption=escape("\n".join(found.warnings)) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", overflow="fold")
    for header in (found.a.label, found.b.label, "difference"):
        table.add_column(escape(header), justify="right", overflow="fold")
    for row in (*_scores(found), *_bytes(found)):
        table.add_row(*row)
    table.add_section()
    for row in _tests(found):
        table.add_row(*row)
    if found.config:
        table.add_section()
        for key in found.config:
            table.add_row(escape(key.key), escape(_shown(key.a)), escape(_shown(key.b)), "")
    return table


def plain_compare(comparison: Comparison, *, width: int = 100) -> str:
    """`compare_table` as text without colours, at most ``width`` characters wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as text:
        console.print(compare_table(comparison))
    return "\n".join(line.rstrip() for line in text.get().splitlines()) + "\n"


def _scores(found: Comparison) -> Iterator[tuple[str, ...]]:
    arms = (found.a, found.b)
    yield ("seeds", *(str(arm.n) if arm.n is not None else "-" for arm in arms), "")
    difference = signed(found.difference_bpb, 5)
    yield ("val_bpb mean", *(decimals(arm.mean_bpb, 5) for arm in arms), difference)
    yield ("val_bpb sd", *(decimals(arm.bpb.sd if arm.bpb else None, 5) for arm in arms), "")
    losses = [arm.loss.mean if arm.loss else None for arm in arms]
    yield ("val_loss mean", *(decimals(loss, 5) for loss in losses), signed(found.difference_loss, 5))


def _bytes(found: Comparison) -> Iterator[tuple[str, ...]]:
    means = [arm.bytes.mean if arm.bytes else None for arm in (found.a, found.b)]
    largest = [arm.bytes.high if arm.bytes else None for arm in (found.a, found.b)]
    yield ("total bytes mean", *(decimals(v, 0) for v in means), signed(found.difference_bytes, 0))
    yield ("total bytes max", *(decimals(v, 0) for v in largest), "")
    if found.a.stride or found.b.stride:
        yield ("stride", *(_stride(arm) for arm in (found.a, found.b)), "")


def _tests(found: Comparison) -> Iterator[tuple[str, ...]]:
    """The interval, then per unit the test without and with the margin, then the challenge's two rules."""
    if found.interval is not None:
        interval = f"{found.interval.low:+.5f} .. {found.interval.high:+.5f}"
        yield f"{100 * CONFIDENCE:.0f} % interval", "", "", interval
    for test in found.verdict.tests:
        plain, strict = test.plain, test.strict
        if plain.p_one_sided is not None:
            told = f"t {plain.t:.2f}  df {plain.df:.2f}"
            yield f"lower, {test.unit}", f"{plain.difference:+.5f}", told, shown_p(plain.p_one_sided)
        if strict is not None and strict.p_one_sided is not None:
            told = f"t {strict.t:.2f}  df {strict.df:.2f}"
            yield f"lower by margin, {test.unit}", f"{strict.margin:.5f}", told, shown_p(strict.p_one_sided)
    for policy in found.verdict.policies:
        passed = {True: "met", False: "not met", None: "not judged"}[policy.passed]
        yield f"rule {policy.policy}", "", passed, "" if policy.p is None else shown_p(policy.p)


def signed(value: float | None, places: int) -> str:
    """A difference for a table: a plus before what is above zero, "-" where it is absent."""
    return decimals(value, places) if value is None or value <= 0 else "+" + decimals(value, places)


def _stride(arm: Arm) -> str:
    return str(arm.stride) if arm.stride is not None else "-"


def _shown(value: object) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
