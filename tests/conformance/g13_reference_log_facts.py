"""Group 13: the reference run's published numbers, recomputed by our own summary, statistics and byte count."""

from __future__ import annotations

from typing import Any

from recur.config import ArtifactConfig, Recipe
from recur.record.cost import ByteCount
from recur.record.result import Scores, SeedResult, State, summarise
from recur.record.stats import spread
from tests.conformance.base import Case, Context, Vectors, exact, within

# doubles of the same exact sum, divided and rooted in another order: a few units in the last place
_ULPS = 1e-14


def check(vectors: Vectors, context: Context) -> list[Case]:
    """Sizes of every run, spreads of every quantity, and the sweep's summary."""
    runs: dict[str, dict[str, Any]] = vectors.info["runs"]
    tables = [v for k, v in vectors.info.items() if k.startswith("statistics_over_seeds")]
    cases = [case for seed, run in runs.items() for case in _sizes(seed, run)]
    for table in tables:
        cases += [case for name, entry in table.items() for case in _spread(name, entry)]
        cases += _summary(runs, table)
    return cases + _submission(runs, vectors.info.get("submission_json", {}))


def _seed(seed: str, run: dict[str, Any]) -> SeedResult:
    stages = {"trained": "post_ema", "roundtrip": "int6_roundtrip", "sliding": "int6_sliding"}
    size = ByteCount(model_bytes=run["artifact_bytes"], code_bytes=run["code_bytes"], cap_bytes=ArtifactConfig().cap_bytes)
    return SeedResult(
        seed=int(seed),
        state=State.SUCCEEDED,
        attempt=1,
        steps=run["stop"]["step"],
        val_bpb=Scores(**{ours: run[theirs]["val_bpb"] for ours, theirs in stages.items()}),
        val_loss=Scores(**{ours: run[theirs]["val_loss"] for ours, theirs in stages.items()}),
        model_bytes=size.model_bytes,
        code_bytes=size.code_bytes,
        total_bytes=size.total_bytes,
        cap_bytes=size.cap_bytes,
        slack_bytes=size.slack_bytes,
    )


def _sizes(seed: str, run: dict[str, Any]) -> list[Case]:
    mine = _seed(seed, run)
    cases = [exact(f"{seed} total = model + code", mine.total_bytes, run["total_bytes"])]
    derived = run.get("derived", {})
    if "headroom_below_16_000_000" in derived:
        cases.append(exact(f"{seed} slack", mine.slack_bytes, derived["headroom_below_16_000_000"]))
    if "tokens_trained" in derived:
        tokens = (mine.steps or 0) * Recipe(profile="reference").train.batch_tokens
        cases.append(exact(f"{seed} tokens trained", tokens, derived["tokens_trained"]))
    return cases


def _spread(name: str, entry: dict[str, Any]) -> list[Case]:
    mine = spread(entry["values"])
    if mine is None:
        return []
    pairs = {"mean": mine.mean, "std_sample": mine.sd, "std_population": mine.sd_population}
    cases = [within(f"{name} {k}", v, entry[k], relative_to_max=_ULPS) for k, v in pairs.items() if k in entry]
    # a deviation is a difference of values: it inherits their last bits, not its own
    slack = _ULPS * max(abs(v) for v in entry["values"])
    cases = [Case(c.name, c.error, c.tolerance + slack) for c in cases]
    limits = {"min": mine.low, "max": mine.high}
    return cases + [exact(f"{name} {k}", v, entry[k]) for k, v in limits.items() if k in entry]


def _summary(runs: dict[str, dict[str, Any]], table: dict[str, Any]) -> list[Case]:
    result = summarise("reference", "record_1421", "", [_seed(s, r) for s, r in runs.items()])
    score, total = table["int6_sliding_val_bpb"], table["total_bytes"]
    near = {"absolute": _ULPS}
    return [
        exact("summary n", result.n, len(score["values"])),
        exact("summary scores", [s.val_bpb.sliding for s in result.seeds], score["values"]),
        within("summary mean_val_bpb", result.mean_val_bpb, score["mean"], **near),
        within("summary std_val_bpb", result.std_val_bpb, score["std_sample"], **near),
        within("summary mean_total_bytes", result.mean_total_bytes, total["mean"], relative_to_max=_ULPS),
        exact("summary max_total_bytes", result.max_total_bytes, total["max"]),
    ]


def _submission(runs: dict[str, dict[str, Any]], submission: dict[str, Any]) -> list[Case]:
    """The published summary prints 8 decimals and whole bytes; its val_loss is known not to be the logs' mean."""
    result = summarise("reference", "record_1421", "", [_seed(s, r) for s, r in runs.items()])
    cases = []
    if "val_bpb" in submission:
        cases.append(within("submission val_bpb", result.mean_val_bpb, submission["val_bpb"], absolute=5.001e-9))
    if "bytes_total" in submission:
        mean = result.mean_total_bytes
        cases.append(within("submission bytes_total", mean, submission["bytes_total"], absolute=0.5))
    return cases
