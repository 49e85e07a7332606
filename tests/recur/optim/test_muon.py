"""Newton-Schulz and Muon: by hand, against float64, properties, degenerate inputs."""

from __future__ import annotations

import copy

import torch

from recur.config import OptimConfig
from recur.optim.matrix.muon import NS_COEFFICIENTS, Muon, newton_schulz, normalise_rows
from recur.train.ranks import Ranks

CFG = OptimConfig(newton_schulz_dtype="fp32", matrix_weight_decay=0.1)


def slow_newton_schulz(u: torch.Tensor, steps: int) -> torch.Tensor:
    """The recursion on singular values, in float64."""
    a, b, c = NS_COEFFICIENTS
    left, s, right = torch.linalg.svd(u.double(), full_matrices=False)
    s = s / u.double().norm()
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    orthogonal: torch.Tensor = left @ torch.diag(s) @ right
    return orthogonal


def test_newton_schulz_agrees_with_the_recursion_on_singular_values() -> None:
    for shape in ((12, 7), (7, 12), (9, 9)):
        u = torch.randn(shape)
        assert torch.allclose(newton_schulz(u, steps=5, dtype=torch.float32).double(), slow_newton_schulz(u, 5), atol=1e-4)


def test_singular_values_end_near_one() -> None:
    s = torch.linalg.svdvals(newton_schulz(torch.randn(20, 64, 32), steps=5, dtype=torch.float32))
    assert s.min() > 0.3 and s.max() < 1.3


def test_a_stack_equals_its_matrices_one_by_one() -> None:
    u = torch.randn(5, 8, 16)
    stacked = newton_schulz(u, steps=5, dtype=torch.float32)
    single = torch.stack([newton_schulz(m, steps=5, dtype=torch.float32) for m in u])
    assert torch.allclose(stacked, single, atol=1e-6)


def test_zero_matrix_stays_zero_and_zero_rows_are_harmless() -> None:
    assert not newton_schulz(torch.zeros(4, 6), steps=5, dtype=torch.float32).any()
    u = torch.randn(4, 6)
    u[2] = 0
    assert not normalise_rows(u)[2].any() and torch.isfinite(normalise_rows(u)).all()


def test_one_step_by_hand() -> None:
    w = torch.zeros(1, 2).requires_grad_()
    w.grad = torch.tensor([[3.0, 4.0]])
    Muon([w], CFG, Ranks()).step(lr=0.5, momentum=0.9)
    scale = float(slow_newton_schulz(torch.tensor([[0.6, 0.8]]), 5).norm())
    assert torch.allclose(w.detach(), -0.5 * scale * torch.tensor([[0.6, 0.8]]), atol=1e-5)


def test_tall_matrices_take_larger_steps() -> None:
    tall, wide = torch.zeros(16, 4).requires_grad_(), torch.zeros(4, 16).requires_grad_()
    g = torch.randn(16, 4)
    tall.grad, wide.grad = g, g.T.contiguous()
    Muon([tall, wide], CFG, Ranks()).step(lr=1.0, momentum=0.0)
    assert 1.5 < float(tall.detach().norm() / wide.detach().norm()) < 2.5


def test_a_matrix_without_gradient_is_only_decayed() -> None:
    w = torch.ones(2, 2).requires_grad_()
    muon = Muon([w], CFG, Ranks())
    muon.step(lr=0.5, momentum=0.9)
    assert torch.allclose(w.detach(), torch.full((2, 2), 0.95)) and not muon.momentum[0].any()


def test_a_matrix_without_gradient_keeps_its_momentum_beside_others_of_its_shape() -> None:
    weights = [torch.zeros(2, 3).requires_grad_() for _ in range(3)]
    muon = Muon(weights, CFG, Ranks())
    for w in weights:
        w.grad = torch.randn(2, 3)
    muon.step(lr=0.1, momentum=0.9)
    before = muon.momentum[0].clone()
    weights[1].grad = None
    muon.step(lr=0.1, momentum=0.9)
    assert torch.equal(muon.momentum[0][1], before[1]) and not torch.equal(muon.momentum[0][0], before[0])


def test_state_can_be_put_back() -> None:
    w = torch.randn(3, 3).requires_grad_()
    muon = Muon([w], CFG, Ranks())
    saved = copy.deepcopy(muon.state_dict())
    w.grad = torch.randn(3, 3)
    muon.step(lr=0.1, momentum=0.9)
    muon.load_state_dict(saved)
    assert not muon.momentum[0].any()
