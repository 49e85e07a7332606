"""What the probes found in one evaluation mode, as it goes into a seed's record (see `recur.record.codec`)."""

from __future__ import annotations

from dataclasses import dataclass

from recur.evaluate.probes.causality import Causality
from recur.evaluate.probes.normalisation import Normalisation
from recur.evaluate.probes.order import Order
from recur.evaluate.probes.scoring import Noise
from recur.record.rules.gate import Verdict


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """One mode, probed.

    Attributes:
        mode, precision: what ran.
        targets, scored_once, updates: see `recur.evaluate.probes.order.Order`.
        noise_nats, tolerance_nats: see `recur.evaluate.probes.scoring.Noise`.
        cuts, compared, largest_movement_nats: see `recur.evaluate.probes.causality.Causality`; -1 where a target was scored
            only once.
        sum_positions, sum_candidates, largest_sum_error, sum_tolerance: see
            `recur.evaluate.probes.normalisation.Normalisation`; -1 where a sum is no number.
        verdict: pass where nothing was found.
        findings: what was found, in words, each behind the name of its probe: order, executed, noise, causality, normalisation.
    """

    mode: str
    precision: str
    targets: int
    scored_once: int
    updates: int
    noise_nats: float
    tolerance_nats: float
    cuts: int
    compared: int
    largest_movement_nats: float
    sum_positions: int
    sum_candidates: int
    largest_sum_error: float
    sum_tolerance: float
    verdict: Verdict
    findings: tuple[str, ...]


def probe_report(
    mode: str,
    precision: str,
    *,
    order: Order,
    noise: Noise,
    causality: Causality,
    normalisation: Normalisation,
    executed: tuple[str, ...] = (),
) -> ProbeReport:
    """The report of all probes of a mode; ``executed`` are findings of the scores against the log."""
    by_probe = {
        "order": order.findings,
        "executed": executed,
        "noise": noise.findings,
        "causality": causality.findings,
        "normalisation": normalisation.findings,
    }
    findings = tuple(f"{probe}: {text}" for probe, texts in by_probe.items() for text in texts)
    return ProbeReport(
        mode=mode,
        precision=precision,
        targets=order.targets,
        scored_once=order.scored_once,
        updates=order.updates,
        noise_nats=_finite(noise.nats),
        tolerance_nats=noise.tolerance_nats,
        cuts=causality.cuts,
        compared=causality.compared,
        largest_movement_nats=_finite(causality.largest_movement_nats),
        sum_positions=normalisation.positions,
        sum_candidates=normalisation.candidates,
        largest_sum_error=_finite(normalisation.largest_error),
        sum_tolerance=normalisation.tolerance,
        verdict=Verdict.FAIL if findings else Verdict.PASS,
        findings=findings,
    )


def _finite(value: float) -> float:
    """JSON knows no infinity."""
    return value if abs(value) < float("inf") else -1.0
