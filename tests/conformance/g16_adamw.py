"""Group 16: AdamW with float32 and with bfloat16 parameters and moments, step by step."""

from __future__ import annotations

import numpy as np
import torch

from recur.config import OptimConfig
from recur.optim.groups import adamw
from tests.conformance.base import Array, Case, Context, Vectors, within

FP32 = 1e-6


def check(vectors: Vectors, context: Context) -> list[Case]:
    cases: list[Case] = []
    for kind in ("fp32", "bf16"):
        if f"{kind}/p0" in vectors.arrays:
            cases += _check(vectors, kind)
    return cases


def _is_aliased(vectors: Vectors, kind: str) -> bool:
    """Whether the file stores the end state under every step's name (parameters cannot stand still under gradients)."""
    a = vectors.arrays
    return bool(a[f"{kind}/grads"][0].any()) and np.array_equal(a[f"{kind}/p0"], a[f"{kind}/p_after_1"])


def _undo_all(vectors: Vectors, kind: str) -> Array:
    """The start from which the stated formula (float64) reaches the stored end state."""
    info, grads = vectors.info, vectors.arrays[f"{kind}/grads"].astype(np.float64)
    (b1, b2), m, v = info["betas"], np.zeros_like(grads[0]), np.zeros_like(grads[0])
    moves: list[Array] = []
    for t, lr in enumerate(info["lr_per_step"], start=1):
        m, v = m + (1 - b1) * (grads[t - 1] - m), b2 * v + (1 - b2) * grads[t - 1] ** 2
        moves.append(lr / (1 - b1**t) * m / (np.sqrt(v) / np.sqrt(1 - b2**t) + info["eps"]))
    p = vectors.arrays[f"{kind}/p_after_{info['steps']}"].astype(np.float64)
    for lr, move in zip(reversed(info["lr_per_step"]), reversed(moves), strict=True):
        p = (p + move) / (1 - lr * info["weight_decay"])
    return p


def _check(vectors: Vectors, kind: str) -> list[Case]:
    info = vectors.info
    dtype = torch.float32 if kind == "fp32" else torch.bfloat16
    aliased = _is_aliased(vectors, kind)
    start = _undo_all(vectors, kind) if aliased else vectors.arrays[f"{kind}/p0"]
    p = torch.tensor(start).to(dtype).requires_grad_()
    cfg = OptimConfig(beta1=info["betas"][0], beta2=info["betas"][1], adam_eps=info["eps"])
    opt = adamw([p], cfg, lr=info["lr_per_step"][0], weight_decay=info["weight_decay"])
    cases: list[Case] = []
    for step, lr in enumerate(info["lr_per_step"]):
        p.grad = torch.tensor(vectors.arrays[f"{kind}/grads"][step]).to(dtype)
        opt.param_groups[0]["lr"] = lr
        opt.step()
        golden = vectors.arrays.get(f"{kind}/p_after_{step + 1}")
        if golden is None or (aliased and step + 1 < info["steps"]):
            continue
        if kind == "fp32":
            cases.append(within(f"fp32 step {step + 1}", p.detach(), golden, absolute=FP32))
        else:
            theirs = torch.tensor(golden).bfloat16().view(torch.int16).int()
            ulps = (p.detach().view(torch.int16).int() - theirs).abs().max()
            cases.append(Case(f"bf16 step {step + 1} ulps", float(ulps), 1.0))
    state = opt.state[p]
    for name in ("exp_avg", "exp_avg_sq"):
        golden = vectors.arrays[f"{kind}/{name}_final"]
        cases.append(
            within(
                f"{kind} {name}",
                state[name].float(),
                golden,
                absolute=FP32 if kind == "fp32" else 0.0,
                relative_to_max=0.0 if kind == "fp32" else 0.01,
            )
        )
    return cases
