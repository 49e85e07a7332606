"""From a weight and its calibration to what the fit needs: the factor for GPTQ, the shape of its steps, its histogram.

Source: QUANTIZATION 3-4 and `recur.quantize.grid.steps`. A table that is both the lookup and the head has the head's input as its
Hessian; what a lookup costs is added to it as a multiple of the identity, so that error feedback does not push errors into
columns that only lookups read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.components import component
from recur.config import QuantizeConfig
from recur.errors import QuantizationError
from recur.quantize.classes import Category, TensorClass, category
from recur.quantize.grid.estimate import SpreadHistogram, histogram
from recur.quantize.grid.steps import LogSteps, Role, Sensitivity
from recur.quantize.sweep import Factor, factorise

RULES = "recur.quantize.rules"


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What calibration knows of one weight ``[R, C]``, per token.

    Attributes:
        hessian: second moment of the inputs, summed over visits, ``[C, C]``; None without.
        outputs: second moment of the gradient at each output; None without.
        lookups: for a table, of the gradient at each looked-up row, per token of text; None without.
    """

    hessian: Tensor | None = None
    outputs: Tensor | None = None
    lookups: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One weight, ready to be rounded at any multiplier.

    Attributes:
        weight: ``[R, C]`` float32.
        factor: None rounds to nearest.
        steps: up to the multiplier.
        spread: for the estimate of its bytes.
    """

    weight: Tensor
    factor: Factor | None
    steps: LogSteps
    spread: SpreadHistogram


def prepare(name: str, weight: Tensor, known: Calibrated, kind: TensorClass, cfg: QuantizeConfig) -> Prepared:
    """Factorise and shape the steps of one weight.

    Args:
        name: state-dict name.
        weight: ``[R, C]``.
        known: its calibration.
        kind: MATRIX or TABLE.
        cfg: damping, rule and its settings.

    Raises:
        QuantizationError: values that are not finite, or a Hessian that cannot be factorised even damped.
    """
    W_RC = weight.detach().float()
    if not torch.isfinite(W_RC).all():
        raise QuantizationError(f"{name} holds NaN or infinity and cannot be quantized: training diverged")
    lookup_share = _lookup_share(known)
    factor, sensitivity = None, Sensitivity(role=_role(name, kind), outputs=known.outputs, lookups=known.lookups)
    if known.hessian is not None:
        H_CC = known.hessian.float() + lookup_share * torch.eye(W_RC.shape[1])
        factor = _factor(name, H_CC, cfg.damping)
        sensitivity = _weighed(sensitivity, factor.conditional_variances(), lookup_share)
    steps: LogSteps = component(RULES, cfg.scale_rule).log_steps(W_RC, sensitivity, cfg)
    return Prepared(weight=W_RC, factor=factor, steps=steps, spread=histogram(W_RC, steps))


def _lookup_share(known: Calibrated) -> float:
    """Mean cost of a lookup relative to that of an output, the multiple of the identity in a table's Hessian."""
    if known.lookups is None or known.outputs is None:
        return 0.0
    output = float(known.outputs.double().mean())
    return float(known.lookups.double().mean()) / output if output > 0 else 0.0


def _weighed(sensitivity: Sensitivity, variance_C: Tensor, lookup_share: float) -> Sensitivity:
    """The variances hold the lookups' mean share; each row's own lookup cost is taken relative to it."""
    lookups = sensitivity.lookups
    if lookups is not None and sensitivity.outputs is not None:
        lookups = lookups - lookup_share * sensitivity.outputs
    return Sensitivity(role=sensitivity.role, outputs=sensitivity.outputs, inputs=variance_C, lookups=lookups)


def _factor(name: str, H_CC: Tensor, damping: float) -> Factor:
    finite = bool(torch.isfinite(H_CC).all())
    factor = factorise(H_CC, damping) if finite else None
    if factor is None:
        smallest = float(H_CC.diagonal().min())
        state = "is not positive definite even damped" if finite else "holds NaN or infinity"
        raise QuantizationError(
            f"the Hessian of {name} {state} (quantize.damping={damping:g}, smallest diagonal {smallest:.3g}): "
            "raise quantize.damping, or calibrate on more text (quantize.calibration_batches)"
        )
    return factor


def _role(name: str, kind: TensorClass) -> Role:
    if kind is TensorClass.TABLE:
        return Role.TABLE
    return Role.MLP if category(name) is Category.MLP else Role.ATTENTION
