"""README.md of a record folder: what ran, what it scored, which rules it kept, what it may be compared with, how to run it.

Every number is of the folder's figures, gates, runs or recipe; the text around them is fixed. It says itself what the run is
not: another text than FineWeb, another machine, a rule that could not be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from recur.record.folder.about import UNNAMED, About
from recur.record.folder.baseline import Beside
from recur.record.folder.figures import PLACES, Figures, SeedFigures
from recur.record.folder.logs import events_name, log_name
from recur.record.folder.markdown import ABSENT, code, number, plain, table
from recur.record.folder.recipe_words import REFERENCE, differences, technique_summary
from recur.record.folder.source import FolderSource
from recur.record.folder.track import TIMED, Track, hardware
from recur.record.rules.gate import Gate
from recur.record.stats.claims import Claims
from recur.record.stats.verdicts import Relation, Verdict
from recur.record.stats.welch import interval

ARTIFACT = "artifact_seed{seed}.ptz"


def readme(source: FolderSource, figures: Figures, about: About, track: Track, found: Beside) -> str:
    """The whole page."""
    parts = [
        f"# {plain(about.title(source.sweep.profile))}",
        *_opening(source, figures, about, track),
        "## Scores",
        *_scores(source, figures),
        "## Rules",
        *_rules(source),
        "## Beside published lines",
        *_beside(found),
        "## Every run of this recipe",
        *_runs(source),
        "## What ran",
        *_what_ran(source),
        "## How to run it",
        *_commands(source, figures),
        "## Software and hardware",
        *_environment(source),
        "## Files",
        _files(figures),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(source: FolderSource, figures: Figures, about: About, track: Track) -> Iterator[str]:
    score = figures.val_bpb
    spread = "" if score.sd is None else f", sample deviation {number(score.sd, PLACES)}"
    yield f"**val_bpb {number(score.mean, PLACES)}**: mean of {_seeds(score.n)}{spread}; lower is better."
    yield f"{plain(technique_summary(source.recipe))}."
    if track.against:
        yield f"**This is not a run of the track {code(TIMED)}.** It is filed as {code(track.name)} because:"
        yield "\n".join(f"- {plain(reason)}" for reason in track.against)
    if UNNAMED in (about.author, about.github_id):
        yield f"Author or account were not given when this folder was written: {code(UNNAMED)} stands for them."


def _scores(source: FolderSource, figures: Figures) -> Iterator[str]:
    head = ["seed", *(name for name, _, _ in _COLUMNS)]
    rows = [[str(s.seed), *(number(value(s), places) for _, value, places in _COLUMNS)] for s in figures.seeds]
    spreads = [(None if name in _CLOCKS else figures.over(value), places) for name, value, places in _COLUMNS]
    rows.append(["mean", *(number(s.mean if s else None, _mean_places(places)) for s, places in spreads)])
    rows.append(["sample deviation", *(number(s.sd if s else None, _mean_places(places)) for s, places in spreads)])
    yield table(head, rows)
    yield _interval_line(figures)
    cap = source.recipe.artifact.cap_bytes
    largest = f"The largest artifact and the script together are {figures.max_total_bytes} bytes"
    counted = (
        ""
        if _code_counted(source, figures)
        else (f"; the run itself was fitted to {cap} bytes with {source.recipe.artifact.code_bytes} bytes of code counted")
    )
    yield f"{largest} ({figures.code_bytes} of them the script){counted}."
    yield (
        "val_loss is in nats per token, val_bpb in bits per byte of the decoded text, both with a sliding window; "
        '"before quantization" is the averaged model, "read back" the same model from its artifact, both without overlap. '
        '"train s" is the training loop, "data s" all that read training data, "eval s" what makes the final score.'
    )


_CLOCKS = ("train s", "data s", "eval s")
"""Their limits bind each seed, so they have no mean."""
_COLUMNS: tuple[tuple[str, Callable[[SeedFigures], float | None], int], ...] = (
    ("val_bpb", lambda s: s.val_bpb, PLACES),
    ("val_loss", lambda s: s.val_loss, PLACES),
    ("before quantization", lambda s: s.trained_bpb, PLACES),
    ("read back", lambda s: s.roundtrip_bpb, PLACES),
    ("model bytes", lambda s: s.model_bytes, 0),
    ("total bytes", lambda s: s.total_bytes, 0),
    ("steps", lambda s: s.steps, 0),
    ("ms a step", lambda s: s.step_avg_ms, 3),
    ("train s", lambda s: s.train_s, 3),
    ("data s", lambda s: s.data_read_s, 3),
    ("eval s", lambda s: s.eval_s, 3),
)


def _mean_places(places: int) -> int:
    return max(places, 2)


def _code_counted(source: FolderSource, figures: Figures) -> bool:
    return source.recipe.artifact.code_bytes == figures.code_bytes


def _interval_line(figures: Figures) -> str:
    if len(figures.seeds) < 2:
        return "One seed has no deviation and no interval."
    found = interval([s.val_bpb for s in figures.seeds])
    ends = f"[{number(found.low, PLACES)}, {number(found.high, PLACES)}]"
    return f"{found.confidence:.0%} interval of the mean (Student's t, {_seeds(len(figures.seeds))}): {plain(ends)}."


def _rules(source: FolderSource) -> Iterator[str]:
    yield (
        "Checked by program from what the run left; n/a is not a pass. The records, clocks and intervals that are named as a "
        f"source are in {code(events_name(source.seeds[0].result.seed))} and its like."
    )
    rows = [_gate_row(str(seed.result.seed), gate) for seed in source.seeds for gate in seed.gates]
    rows += [_gate_row("all", gate) for gate in source.gates]
    yield table(["seed", "rule", "value", "limit", "verdict", "why", "source"], rows, left=7)


def _gate_row(seed: str, gate: Gate) -> list[str]:
    cells = (seed, gate.name, gate.value, gate.limit, gate.verdict.value, gate.why, gate.source)
    return [plain(ABSENT if cell is None or cell == "" else cell) for cell in cells]


def _beside(found: Beside) -> Iterator[str]:
    verdict, claims = found.verdict, found.claims
    if verdict is None:
        yield f"None of them: this run was not scored on the text of {plain(found.line.label)}, so the two cannot be compared."
        return
    yield "What the seeds' numbers carry, by Welch's test; a difference below zero means that this run scores lower."
    yield "\n".join(_sentences(claims))
    yield f"The tests against {plain(found.line.label)} ({plain(found.line.name)}):"
    yield table(["unit", "margin", "difference", "t", "df", "one-sided p"], list(_test_rows(verdict)))
    rows = [[plain(p.policy), _passed(p.passed), plain(p.told)] for p in verdict.policies]
    yield table(["rule of the challenge", "met", "why"], rows, left=3)
    if verdict.warnings:
        yield "\n".join(f"- {plain(warning)}" for warning in verdict.warnings)


def _sentences(claims: Claims) -> Iterator[str]:
    """One for each line that it was tested against; the others are only counted."""
    tested = [v for v in claims.verdicts if v.relation in (Relation.BETTER, Relation.TIED, Relation.WORSE)]
    yield from (f"- {plain(verdict.sentence)}." for verdict in tested)
    if rest := len(claims.verdicts) - len(tested):
        yield f"- {rest} other known lines cannot be tested against: they have no two seeds' scores, or there are none here."


def _test_rows(verdict: Verdict) -> Iterator[list[str]]:
    for tests in verdict.tests:
        for test in (tests.plain, tests.strict):
            if test is not None:
                p = ABSENT if test.p_one_sided is None else f"{test.p_one_sided:.6g}"
                numbers = [number(v, k) for v, k in ((test.margin, PLACES), (test.difference, PLACES), (test.t, 4), (test.df, 4))]
                yield [plain(tests.unit), *numbers, p]


def _passed(passed: bool | None) -> str:
    return "not judged" if passed is None else "yes" if passed else "no"


def _runs(source: FolderSource) -> Iterator[str]:
    yield (
        f"All attempts with the fingerprint {code(source.sweep.fingerprint[:16])} (recipe, data and code alike) "
        "that lie in the output folder, whatever became of them."
    )
    rows = [
        [
            plain(run.sweep),
            str(run.seed),
            str(run.attempt),
            plain(run.state),
            number(run.val_bpb, PLACES),
            number(run.total_bytes, 0),
            "yes" if run.shown else "no",
            plain(run.why) or ABSENT,
        ]
        for run in source.runs
    ]
    yield table(["sweep", "seed", "attempt", "state", "val_bpb", "bytes in the run", "in the mean", "why"], rows, left=1)


def _what_ran(source: FolderSource) -> Iterator[str]:
    data = source.dataset
    rows = [
        ["profile", code(source.sweep.profile)],
        ["sweep", code(source.sweep.sweep)],
        ["fingerprint", code(source.sweep.fingerprint)],
        ["text", plain(data.origin)],
        ["data manifest sha256", code(data.sha256)],
        ["tokenizer sha256", code(data.tokenizer_sha256)],
        ["scored tokens", str(source.seeds[0].result.scored_tokens)],
        ["scored bytes", str(source.seeds[0].result.scored_bytes)],
    ]
    yield table(["what", "value"], rows, left=2)
    found = differences(source.recipe)
    if not found:
        yield f"Its recipe is that of {code(REFERENCE)}."
        return
    yield f"Where its recipe differs from {code(REFERENCE)} (openai/parameter-golf PR 1421):"
    yield table(["key", "here", "there"], [[code(d.key), code(d.value), code(d.reference)] for d in found], left=3)


def _commands(source: FolderSource, figures: Figures) -> Iterator[str]:
    seed, workers = figures.seeds[0].seed, source.recipe.cluster.workers
    yield "DATA is the folder of the prepared text, whose manifest has the sha256 above. Train, quantize and score one seed:"
    start = f"torchrun --standalone --nproc_per_node={workers} train_gpt.py"
    yield _shell("pip install -r requirements.txt", f"{start} --data DATA --seed {seed} --out OUT")
    yield "Score an artifact of this folder again:"
    yield _shell(f"{start} --data DATA --evaluate {ARTIFACT.format(seed=seed)}")


def _shell(*lines: str) -> str:
    return "\n".join(("```bash", *lines, "```"))


def _environment(source: FolderSource) -> Iterator[str]:
    rows = [["hardware", plain(hardware(source))]]
    for found in source.environments:
        packages = found.get("packages")
        named = dict(packages) if isinstance(packages, Mapping) else {}
        rows += [[plain(k), plain(v)] for k, v in {**found, **named}.items() if k != "packages" and v is not None]
    yield table(["what", "value"], rows, left=2)
    if not source.environment_recorded:
        yield "Not every run recorded its own software: where none did, this is the software that wrote this folder."


def _files(figures: Figures) -> str:
    rows = [
        [code("submission.json"), "the numbers of this page"],
        [code("gates.json"), "the table of rules"],
        [code("train_gpt.py"), f"the whole program in one file, {figures.code_bytes} bytes"],
        [code("requirements.txt"), "what it imports"],
    ]
    for s in figures.seeds:
        rows.append([code(log_name(s.seed)), f"log of seed {s.seed} in the usual form"])
        rows.append([code(events_name(s.seed)), f"all that seed {s.seed} recorded: events, intervals, clock, phase records"])
        rows.append([code(ARTIFACT.format(seed=s.seed)), f"its artifact, {s.model_bytes} bytes"])
    return table(["file", "holds"], rows, left=2)


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"
