"""Sweeps in every state, for tests and screenshots. The numbers are made up, but have the sizes of real ones."""

from __future__ import annotations

from recur.record.result import State
from tests.api.pages.stage import SECONDS, STEPS, Stage, gates, result, training_log, verified


def finished(stage: Stage, sweep: str, scores: dict[int, tuple[float, int]], *, at: float) -> float:
    """Let every seed of a sweep run one after the other to its score and size; returns when the last ended."""
    for seed, (bpb, total) in scores.items():
        stage.run(sweep, seed, at=at)
        folder = stage.folder(sweep, seed)
        training_log(folder, start=at, steps=STEPS, upto=STEPS, seed=seed)
        verified(folder)
        at += sum(SECONDS.values()) + 30
        found = result(seed, bpb, total)
        stage.succeed(sweep, found, gates(found), at=at)
    return at


def running(stage: Stage, sweep: str, seed: int, *, step: int) -> None:
    """Let a seed train up to ``step``, reached now."""
    start = stage.now - SECONDS["setup"] - step * SECONDS["train"] / STEPS
    stage.run(sweep, seed, at=start - 6)
    training_log(stage.folder(sweep, seed), start=start, steps=STEPS, upto=step, seed=seed)
    for share in (0.25, 0.5, 0.75, 1.0):
        at = start + SECONDS["setup"] + share * step * SECONDS["train"] / STEPS
        beat = {"step": int(share * step), "steps": STEPS, "loss": 3.1 - 0.4 * share, "tokens_per_s": 6.07e6, "mfu": 0.417}
        stage.beat(sweep, seed, "train", at=at, **beat)


def everything(stage: Stage) -> dict[str, str]:
    """Sweeps in every state; ids by a short name."""
    now, hour = stage.now, 3600.0
    ids: dict[str, str] = {}

    ids["done"] = stage.sweep("recur, three seeds", (42, 314, 999), at=now - 7 * hour, baseline="1334")
    stage.prepare(ids["done"], at=now - 7 * hour + 80)
    end = finished(
        stage,
        ids["done"],
        {42: (1.08971, 15_993_412), 314: (1.09024, 15_991_087), 999: (1.08953, 15_994_760)},
        at=now - 7 * hour + 90,
    )
    stage.report(ids["done"], at=end + 20, record_path="record")

    ids["invalid"] = stage.sweep(
        "two more recurrent layers", (42, 314), at=now - 5 * hour, overrides={"model.recurrent_layers": [2, 3, 4, 5, 6]}
    )
    stage.prepare(ids["invalid"], at=now - 5 * hour + 70)
    stage.run(ids["invalid"], 42, at=now - 5 * hour + 80)
    big = result(
        42, 1.08822, 16_004_118, state=State.INVALID, error="gate 'total bytes': total_bytes=16004118 must be at most 16000000"
    )
    stage.succeed(ids["invalid"], big, gates(big), at=now - 4.6 * hour)
    stage.run(ids["invalid"], 314, at=now - 4.6 * hour)
    good = result(314, 1.08951, 15_999_204)
    stage.succeed(ids["invalid"], good, gates(good), at=now - 4.2 * hour)
    stage.report(ids["invalid"], at=now - 4.2 * hour + 9)

    ids["failed"] = stage.sweep("learning rate .04", (42, 314, 999), at=now - 4 * hour, overrides={"optim.matrix_lr": 0.04})
    stage.prepare(ids["failed"], at=now - 4 * hour + 60)
    for i, seed in enumerate((42, 314, 999)):
        stage.run(ids["failed"], seed, at=now - 3.9 * hour + 300 * i)
        stage.move(
            ids["failed"],
            seed,
            State.FAILED,
            at=now - 3.85 * hour + 300 * i,
            reason="RecurError: training diverged at step 412: loss nan, gradient norm inf",
        )
    stage.report(ids["failed"], at=now - 3.5 * hour)

    ids["cancelled"] = stage.sweep("a typo", (1, 2, 3), at=now - 3 * hour, profile="smoke")
    stage.cancel(ids["cancelled"], at=now - 3 * hour + 20)

    ids["lost"] = stage.sweep("spot nodes", (7,), at=now - 2.5 * hour)
    stage.prepare(ids["lost"], at=now - 2.5 * hour + 40)
    stage.run(ids["lost"], 7, at=now - 2.4 * hour)
    stage.move(
        ids["lost"],
        7,
        State.LOST,
        at=now - 2.2 * hour,
        reason="the job system does not know the job, and its last sign of life is 94 s old",
    )

    ids["small"] = stage.sweep("smoke, both CPU cores", (42, 1337, 2024), at=now - 2 * hour, profile="smoke_recur")
    stage.prepare(ids["small"], at=now - 2 * hour + 30)
    for i, (seed, bpb, total) in enumerate(((42, 2.54289, 302_514), (1337, 2.54423, 302_515), (2024, 2.5495, 302_528))):
        stage.run(ids["small"], seed, at=now - 2 * hour + 40 + 100 * i)
        folder = stage.folder(ids["small"], seed)
        training_log(folder, start=now - 2 * hour + 40 + 100 * i, steps=100, upto=100, seed=seed, first_loss=6.93, last_loss=4.22)
        seconds = {name: value / 9 for name, value in SECONDS.items()}
        found = result(
            seed,
            bpb,
            total,
            cap_bytes=302_584,
            slack_bytes=302_584 - total,
            steps=100,
            tokens_per_s=4960.0,
            scored_tokens=19_456,
            scored_bytes=46_595,
            seconds=seconds,
        )
        stage.succeed(ids["small"], found, gates(found, track=False), at=now - 2 * hour + 140 + 100 * i)
    stage.report(
        ids["small"],
        at=now - 1.8 * hour,
        warning="no record folder: the gates of the track's clocks do not apply on this hardware",
    )

    ids["live"] = stage.sweep(
        "slope exponent .9",
        (42, 271, 314, 999),
        at=now - 1.1 * hour,
        baseline="1334",
        overrides={"quantize.slope_exponent": 0.9, "train.val_every": 1000},
        priority=5,
    )
    stage.prepare(ids["live"], at=now - 1.09 * hour)
    finished(stage, ids["live"], {42: (1.08938, 15_992_870), 271: (1.09007, 15_994_028)}, at=now - 1.08 * hour)
    running(stage, ids["live"], 314, step=2480)

    ids["queued"] = stage.sweep("warmdown .66, then .60", (42, 314, 999), at=now - 900, overrides={"optim.warmdown_frac": 0.66})
    stage.prepare(ids["queued"], at=now - 860)
    ids["fresh"] = stage.sweep("momentum .95", (42, 314), at=now - 45, overrides={"optim.muon_momentum": 0.95}, priority=-10)
    ids["cancelling"] = stage.sweep("batch of 1M tokens", (5,), at=now - 400, profile="smoke_recur")
    stage.prepare(ids["cancelling"], at=now - 390)
    stage.run(ids["cancelling"], 5, at=now - 300)
    stage.cancel(ids["cancelling"], at=now - 12)
    return ids  # fmt: skip
