"""submission.json: the union of the fields of published submissions (RULES B5), every number from the folder's own figures.

Checked against `recur/record/submission.schema.json` before anything is written. A field whose value is not known is left
out, so nothing in it is a guess; what the schema has no field for is under `provenance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from recur.errors import InputError
from recur.record.check.fields import submission_schema
from recur.record.codec import to_json
from recur.record.folder.about import About
from recur.record.folder.baseline import Beside
from recur.record.folder.figures import PLACES, Figures, SeedFigures
from recur.record.folder.recipe_words import calibration, technique_summary
from recur.record.folder.source import FolderSource
from recur.record.folder.track import CAP_BYTES, Track, hardware
from recur.record.known import find_known
from recur.record.rules import gate as gates
from recur.record.rules.gate import Gate
from recur.record.rules.sweep import ENOUGH_SEEDS
from recur.record.stats.verdicts import Verdict

_BASE_PR = 1421
"""What every shipped profile extends (`record_1421`)."""


def submission(source: FolderSource, figures: Figures, about: About, track: Track, found: Beside) -> dict[str, Any]:
    """The document, valid by the shipped schema.

    Raises:
        InputError: it is not, e.g. for an empty author.
    """
    document = {
        "author": " ".join(about.author.split()),
        "github_id": " ".join(about.github_id.split()),
        "name": about.title(source.sweep.profile),
        "blurb": blurb(source, figures, track),
        "date": date_of(source, about),
        "track": track.name,
        **_scores(figures),
        **_bytes(figures),
        **_baseline_fields(found),
        **_run_fields(source, figures),
        "compliance": compliance(source, figures),
        "attribution": _attribution(source),
        "provenance": _provenance(source, track, found),
    }
    known = {name: value for name, value in document.items() if value is not None or name == "val_bpb_std"}
    check_submission(known)
    return known


def check_submission(document: Mapping[str, object]) -> None:
    """Hold a document against the schema.

    Raises:
        InputError: the first place where it differs.
    """
    problems = Draft202012Validator(submission_schema()).iter_errors(document)
    for problem in sorted(problems, key=lambda e: list(map(str, e.path))):
        where = ".".join(map(str, problem.path)) or "submission.json"
        raise InputError(f"{where}={str(problem.instance)[:80]!r}", f"is refused: {problem.message[:200]}", "correct the value")


def blurb(source: FolderSource, figures: Figures, track: Track) -> str:
    """One paragraph about the method and its score."""
    score, loss = figures.val_bpb, figures.val_loss
    deviation = "" if score.sd is None else f", sample deviation {score.sd:.{PLACES}f}"
    mean = f"Mean of {score.n} seed{'s' if score.n > 1 else ''}: {score.mean:.{PLACES}f} bits per byte{deviation}"
    kept_out = "" if not track.against else f" Filed as {track.name}: {'; '.join(track.against)}."
    return f"{technique_summary(source.recipe)}. {mean}, {loss.mean:.{PLACES}f} nats per token.{kept_out}"


def date_of(source: FolderSource, about: About) -> str:
    """``YYYY-MM-DD``."""
    return about.date.strip() or datetime.fromtimestamp(source.ended_at, UTC).date().isoformat()


USUAL_NAMES = {"training clock, s": "train_under_600s", "evaluation clock, s": "eval_under_600s"}
"""What published submissions call a gate of `recur.record.rules.seed`."""


def compliance(source: FolderSource, figures: Figures) -> dict[str, bool | None]:
    """A rule is true where its gate passed for every counting seed, null where it did not apply to one, else false."""
    found: dict[str, bool | None] = {
        "artifact_under_16mb": figures.max_total_bytes <= CAP_BYTES,
        "three_seeds": len(figures.seeds) >= ENOUGH_SEEDS,
    }
    for gate in source.all_gates:
        name = gate_key(gate)
        found[name] = _and(found.get(name, True), _kept(gate))
    return found


def gate_key(gate: Gate) -> str:
    """A gate's usual name, else its own as a key: ``total bytes`` -> ``total_bytes``."""
    if gate.name in USUAL_NAMES:
        return USUAL_NAMES[gate.name]
    words = "".join(c if c.isalnum() else " " for c in gate.name.lower())
    return "_".join(words.split())


def _kept(gate: Gate) -> bool | None:
    return None if gate.verdict is gates.Verdict.NOT_APPLICABLE else gate.verdict is gates.Verdict.PASS


def _and(a: bool | None, b: bool | None) -> bool | None:
    """False wins, then null."""
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _scores(figures: Figures) -> dict[str, object]:
    bpb, loss = figures.val_bpb, figures.val_loss
    trained_bpb, trained_loss = figures.over(lambda s: s.trained_bpb), figures.over(lambda s: s.trained_loss)
    return {
        "val_loss": round(loss.mean, PLACES),
        "val_bpb": round(bpb.mean, PLACES),
        "val_loss_std": None if loss.sd is None else round(loss.sd, PLACES),
        "val_bpb_std": None if bpb.sd is None else round(bpb.sd, PLACES),
        "pre_quant_val_loss": trained_loss and round(trained_loss.mean, PLACES),
        "pre_quant_val_bpb": trained_bpb and round(trained_bpb.mean, PLACES),
        "seeds": [s.seed for s in figures.seeds],
        "seed_results": {str(s.seed): _seed_result(s) for s in figures.seeds},
    }


def _seed_result(seed: SeedFigures) -> dict[str, object]:
    result = {
        "val_loss": seed.val_loss,
        "val_bpb": seed.val_bpb,
        "artifact_bytes": seed.total_bytes,
        "steps": seed.steps,
        "step_avg_ms": seed.step_avg_ms,
        "train_time_s": seed.train_s,
        "eval_time_s": seed.eval_s,
        "pre_quant_val_loss": seed.trained_loss,
        "pre_quant_val_bpb": seed.trained_bpb,
    }
    return {name: value for name, value in result.items() if value is not None}


def _bytes(figures: Figures) -> dict[str, object]:
    return {
        "artifact_bytes_mean": round(figures.total_bytes.mean, 2),
        "artifact_bytes_max": figures.max_total_bytes,
        "bytes_total": figures.max_total_bytes,
        "bytes_code": figures.code_bytes,
        "bytes_model": max(s.model_bytes for s in figures.seeds),
    }


def _baseline_fields(found: Beside) -> dict[str, object]:
    verdict, pr, nats = found.verdict, found.line.pr, found.nats
    if verdict is None or verdict.difference_bpb is None:
        return {}
    test = verdict.test.plain if verdict.test else None
    return {
        "comparison_baseline_pr": pr,
        "comparison_baseline_bpb": round(found.line.score_bpb, PLACES),
        f"delta_vs_pr{pr}_bpb": round(verdict.difference_bpb, PLACES),
        f"delta_vs_pr{pr}_nats": None if nats is None else round(nats.plain.difference, PLACES),
        "t_statistic": None if test is None or test.t is None else round(test.t, 4),
        "welch_df": None if test is None or test.df is None else round(test.df, 4),
        "p_value": None if test is None else _significant(test.p_one_sided),
    }


def _run_fields(source: FolderSource, figures: Figures) -> dict[str, object]:
    steps, step_ms = figures.over(lambda s: s.steps), figures.over(lambda s: s.step_avg_ms)
    software = source.environments[0]
    return {
        "train_steps_mean": steps and round(steps.mean, 2),
        "step_avg_ms_mean": step_ms and round(step_ms.mean, 3),
        "wallclock_seconds": max((s.train_s for s in figures.seeds if s.train_s is not None), default=None),
        "eval_time_seconds": max((s.eval_s for s in figures.seeds if s.eval_s is not None), default=None),
        "hardware": hardware(source),
        "python_version": software.get("python"),
        "pytorch_version": software.get("torch"),
        "cuda_version": software.get("cuda"),
        "base_pr": _BASE_PR,
        "calibration": calibration(source.recipe),
        "technique_summary": technique_summary(source.recipe),
    }


def _attribution(source: FolderSource) -> dict[str, str]:
    """Whose run the recipe starts from; the names are those of the published lines."""
    base, parent = find_known(str(_BASE_PR)), find_known("1334")
    own = "own quantizer, container and range coder" if source.recipe.artifact.fit == "solve" else "as the base"
    return {"base": f"{base.label} ({base.author}), built on {parent.label} ({parent.author})", "quantization": own}


def _provenance(source: FolderSource, track: Track, found: Beside) -> dict[str, object]:
    return {
        "sweep": source.sweep.sweep,
        "profile": source.sweep.profile,
        "fingerprint": source.sweep.fingerprint,
        "dataset": source.dataset.name,
        "dataset_origin": source.dataset.origin,
        "dataset_manifest_sha256": source.dataset.sha256,
        "tokenizer_sha256": source.dataset.tokenizer_sha256,
        "scored_tokens": _common([s.result.scored_tokens for s in source.seeds]),
        "scored_bytes": _common([s.result.scored_bytes for s in source.seeds]),
        "stride": source.recipe.evaluate.stride,
        "run_cap_bytes": source.recipe.artifact.cap_bytes,
        "environment": list(source.environments),
        "environment_recorded_by_the_run": source.environment_recorded,
        "not_of_the_timed_track_because": list(track.against),
        "comparison": None if found.verdict is None else _comparison(found.verdict),
        "artifacts": {str(s.result.seed): s.result.model_sha256 for s in source.seeds},
        "runs": [to_json(run) for run in source.runs],
    }


def _comparison(verdict: Verdict) -> dict[str, object]:
    """The whole judgement: relation, tests with and without the margin in every unit, and the challenge's two rules."""
    return {
        "sentence": verdict.sentence,
        "tests": [to_json(test) for test in verdict.tests],
        "policies": [to_json(policy) for policy in verdict.policies],
        "warnings": list(verdict.warnings),
    }


def _common(values: Sequence[int | None]) -> int | None:
    return values[0] if len(set(values)) == 1 else None


def _significant(value: float | None) -> float | None:
    """Six significant digits: a p-value has no fixed places."""
    return None if value is None else float(f"{value:.6g}")
