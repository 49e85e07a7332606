"""Group 03: orthogonalisation alone and three Muon steps, in bf16 (loose) and float32 (tight)."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.config import OptimConfig
from recur.optim.matrix.muon import Muon, newton_schulz
from recur.train.ranks import Ranks
from tests.conformance.base import Case, Context, Vectors, rel_l2, within


def check(vectors: Vectors, context: Context) -> list[Case]:
    names = sorted({key.split("/")[1] for key in vectors.arrays if key.startswith("ns/")})
    cases: list[Case] = []
    for name in names:
        u = torch.tensor(vectors.arrays[f"ns/{name}/input"]).float()
        ideal = vectors.arrays[f"ns/{name}/out_ideal_fp64"]
        steps = vectors.info["ns_steps"]
        lowrank = "lowrank" in name
        fp32 = newton_schulz(u, steps=steps, dtype=torch.float32)
        cases.append(rel_l2(f"ns {name} fp32", fp32, ideal, 1e-3 if lowrank else 1e-4))
        if not lowrank:
            bf16 = newton_schulz(u, steps=steps, dtype=torch.bfloat16).float()
            cases.append(rel_l2(f"ns {name} bf16 to ideal", bf16, ideal, 0.1))
            cases.append(rel_l2(f"ns {name} bf16 to bf16", bf16, vectors.arrays[f"ns/{name}/out_bf16"], 0.1))
    return cases + _steps(vectors, "fp32") + _steps(vectors, "bf16")


def _steps(vectors: Vectors, dtype: str) -> list[Case]:
    info = vectors.info
    order: list[str] = info["param_order"]
    weights = [torch.tensor(vectors.arrays[f"W0/{name}"]).float().requires_grad_() for name in order]
    cfg = OptimConfig(
        matrix_weight_decay=info["weight_decay"],
        newton_schulz_steps=info["ns_steps"],
        newton_schulz_dtype="fp32" if dtype == "fp32" else "bf16",
    )
    muon = Muon(weights, cfg, Ranks())
    missing = {(step, name) for step, name in info["missing_gradients"]}
    cases: list[Case] = []
    for step, (lr, momentum) in enumerate(zip(info["lr_per_step"], info["momentum_per_step"], strict=True)):
        for name, weight in zip(order, weights, strict=True):
            absent = (step, name) in missing
            weight.grad = None if absent else torch.tensor(vectors.arrays[f"step{step}/grad/{name}"]).float()
        muon.step(lr=lr, momentum=momentum)
        buffers = _buffers(muon, weights)
        total_lr = sum(info["lr_per_step"][: step + 1])
        for index, (name, weight) in enumerate(zip(order, weights, strict=True)):
            cases += _compare(vectors, dtype, f"step{step}", name, weight.detach(), total_lr)
            key = f"step{step}/momentum_buffer/{name}"
            if key in vectors.arrays:
                cases.append(within(f"{dtype} {key}", buffers[index], vectors.arrays[key], absolute=1e-12, relative_to_max=1e-6))
    return cases


def _buffers(muon: Muon, weights: list[Tensor]) -> list[Tensor]:
    """Momentum of each matrix."""
    slots = {id(p): t for bank, stack in zip(muon.banks, muon.momentum, strict=True) for p, t in zip(bank, stack, strict=True)}
    return [slots[id(weight)] for weight in weights]


def _compare(vectors: Vectors, dtype: str, step: str, name: str, weight: Tensor, total_lr: float) -> list[Case]:
    lowrank = "lowrank" in name
    if dtype == "bf16" and lowrank:
        return []
    keys = ["ideal_fp64_param"] if dtype == "fp32" else ["ideal_fp64_param", "param"]
    tolerance = (1e-3 * total_lr if lowrank else 1e-6) if dtype == "fp32" else 0.1 * total_lr
    return [
        within(f"{dtype} {step}/{key}/{name}", weight, vectors.arrays[f"{step}/{key}/{name}"], absolute=tolerance)
        for key in keys
        if f"{step}/{key}/{name}" in vectors.arrays
    ]
