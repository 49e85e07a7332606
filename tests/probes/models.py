"""The lines about models: breaches of causality, normalisation and order, and honest modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from recur.evaluate.probes.report import ProbeReport
from recur.evaluate.probes.run import PROBED_MODES, ProbeEffort, probe_config, probe_scoring
from recur.evaluate.probes.scoring import Precision, Traced
from recur.model.gpt import GPT
from tests.probes.line import Line
from tests.recur.evaluate.planted import (
    ADAPT_LR,
    EVALUATE,
    SLOT_LR,
    TILT_NATS,
    Rescoring,
    Reshuffled,
    SharedDelta,
    Tilted,
    TrainedFirst,
    V,
    log_uniform,
    mode_scoring,
    random_model,
    random_stream,
)

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
FLIPS = ProbeEffort(cuts=16, repeats=1, sum_positions=0)
SUMS = ProbeEffort(cuts=0, repeats=1, sum_positions=2, candidates=8)
BOTH = ProbeEffort(cuts=6, repeats=2, sum_positions=1, candidates=8)


def report_of(scoring: Traced, seed: int, effort: ProbeEffort) -> ProbeReport:
    """All probes on the seed's stream."""
    return probe_scoring(scoring, random_stream(seed), V, name="", precision=_precision(seed), effort=effort, seed=seed)


def _precision(seed: int) -> Precision:
    return PRECISIONS[seed % 2]


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 5])


def _found(report: ProbeReport, probe: str) -> bool:
    return any(text.startswith(f"{probe}: ") for text in report.findings)


def _around(seed: int, build: Callable[[GPT], Any], *, black_box: bool) -> Traced:
    mode = PROBED_MODES[int(_rng(seed).integers(3))]
    return mode_scoring(seed, mode, _precision(seed), build, black_box=black_box)


def future_tilt(seed: int) -> bool:
    strength = log_uniform(_rng(seed), TILT_NATS)
    scoring = _around(seed, lambda m: Tilted(m, "future", strength, seed), black_box=True)
    return _found(report_of(scoring, seed, FLIPS), "causality")


def keyed_tilt(gate: Any, seed: int) -> bool:
    """Every other pair of seeds sums over the whole vocabulary, the others over a sample."""
    strength = log_uniform(_rng(seed), TILT_NATS)
    scoring = _around(seed, lambda m: Tilted(m, gate, strength, seed), black_box=seed % 4 < 2)
    return _found(report_of(scoring, seed, SUMS), "normalisation")


def shared_delta(seed: int) -> bool:
    rng = _rng(seed)
    lr, steps = log_uniform(rng, SLOT_LR), int(rng.integers(1, 9))
    scoring = _around(seed, lambda m: SharedDelta(m, lr, steps), black_box=True)
    return _found(report_of(scoring, seed, FLIPS), "causality")


def adapted(kind: Any, logged: bool, seed: int) -> bool:
    """Rescoring or training first; a log that owns up is caught by the order, another by the flips."""
    cfg = probe_config(replace(EVALUATE, ttt=replace(EVALUATE.ttt, lr=log_uniform(_rng(seed), ADAPT_LR))))
    precision = _precision(seed)
    scoring = kind(model=random_model(seed, precision), cfg=cfg, precision=precision, logged=logged)
    effort = replace(FLIPS, cuts=0) if logged else FLIPS
    return _found(report_of(scoring, seed, effort), "order" if logged else "causality")


def honest(mode: str, precision: Precision, reshuffled: bool, seed: int) -> bool:
    scoring = mode_scoring(seed, mode, precision, lambda m: Reshuffled(m, seed) if reshuffled else m)
    report = probe_scoring(scoring, random_stream(seed), V, name=mode, precision=precision, effort=BOTH, seed=seed)
    return bool(report.findings)


def honest_tilt(seed: int) -> bool:
    strength = log_uniform(_rng(seed), TILT_NATS)
    scoring = mode_scoring(seed, "sliding", _precision(seed), lambda m: Tilted(m, "prefix", strength, seed), black_box=True)
    return bool(report_of(scoring, seed, BOTH).findings)


def _clean(mode: str, precision: Precision, reshuffled: bool) -> Line:
    name = f"{mode}, {precision}" + (", batches reshuffled each time" if reshuffled else "")
    return Line(name=name, planted=False, alarm=partial(honest, mode, precision, reshuffled))


LINES = (
    Line(name="tilt that reads the token after the target", planted=True, alarm=future_tilt),
    Line(name="tilt that reads the target", planted=True, alarm=partial(keyed_tilt, "target")),
    Line(name="tilt that is not normalised", planted=True, alarm=partial(keyed_tilt, "unnormalised")),
    Line(name="shared delta fitted on scored tokens", planted=True, alarm=shared_delta),
    Line(name="rescoring pass, by its log", planted=True, alarm=partial(adapted, Rescoring, True)),
    Line(name="rescoring pass, not logged", planted=True, alarm=partial(adapted, Rescoring, False)),
    Line(name="training before scoring, by its log", planted=True, alarm=partial(adapted, TrainedFirst, True)),
    Line(name="training before scoring, not logged", planted=True, alarm=partial(adapted, TrainedFirst, False)),
    *(_clean(m, p, r) for m in PROBED_MODES for p in PRECISIONS for r in (False, True)),
    Line(name="sliding with a tilt by the past alone", planted=False, alarm=honest_tilt),
)
