"""Moments of output gradients under the model's own labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recur.config import ModelConfig, QuantizeConfig
from recur.data.loader import Batch
from recur.errors import DataError, RecurError
from recur.model.build import build_model
from recur.model.gpt import GPT
from recur.quantize import fisher
from recur.quantize.classes import hessian_names, lookup_names
from recur.quantize.fisher import MomentSum, collect_moments, sample_labels

VOCAB, LENGTH = 13, 6
CFG = ModelConfig(
    vocab_size=VOCAB,
    layers=3,
    width=8,
    embedding_width=8,
    heads=2,
    kv_heads=1,
    mlp_mult=2.0,
    train_seq_len=LENGTH,
    rope_dims=4,
    xsa_last_layers=3,
    value_embedding_width=6,
    value_embedding_layers=(2,),
    recurrent_layers=(1,),
    parallel_from_layer=2,
)
ALL = QuantizeConfig(passthrough_numel=0, fisher_batches=1)
ONCE, TWICE, HEAD = "blocks.0.mlp.fc.weight", "blocks.1.attn.c_v.weight", "tok_emb.weight"


def model_of(cfg: ModelConfig = CFG) -> GPT:
    """A model in which nothing is zero and the second visit is on."""
    model = build_model(cfg, seed=0, precision="fp32")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.4 * torch.randn(p.shape, generator=generator))
    model.set_recurrence(bool(cfg.recurrent_layers))
    return model


def batches(count: int, sequences: int = 2, seed: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randint(1, VOCAB, (sequences, LENGTH), generator=generator) for _ in range(count)]  # never token 0
    return [Batch(x_BT=x, y_BT=x) for x in drawn]


def collect(model: GPT, data: list[Batch], *, seed: int = 5, numbers: range | None = None) -> MomentSum:
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.ndim == 2}
    names, tables = hessian_names(shapes, ALL), lookup_names(shapes, ALL)
    count = len(data)
    return collect_moments(model, data, count=count, names=names, tables=tables, seed=seed, device="cpu", numbers=numbers)


def labels_of(model: GPT, batch: Batch, seed: int, number: int) -> Tensor:
    """The documented draw, sample by sample: inverse CDF of uniforms from PCG64 seeded with (seed, number)."""
    uniforms = np.random.default_rng([seed, number]).random(batch.x_BT.shape, dtype=np.float32)
    p = model(batch.x_BT).double().softmax(-1).detach()
    cdf = p.cumsum(-1)
    drawn = [[int((cdf[b, t] <= u).sum()) for t, u in enumerate(row)] for b, row in enumerate(uniforms.tolist())]
    return torch.tensor(drawn)


@contextmanager
def disturbed(model: GPT, name: str, added: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Every output of one module gets ``added(output)`` on top."""
    module = model.get_submodule(name.removesuffix(".weight"))
    hook = module.register_forward_hook(lambda _module, _args, out: out + added(out))
    yield
    hook.remove()


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A forward with zeros added to one module's output at each visit; gradients are those of the zeros."""

    capped: Tensor
    zeros: list[Tensor]

    def gradient(self, loss: Tensor) -> Tensor:
        """Float64 ``[visits, B, T, rows]``."""
        return torch.stack([g.double() for g in torch.autograd.grad(loss, self.zeros, retain_graph=True)])


def watch(model: GPT, name: str, batch: Batch) -> Watched:
    zeros: list[Tensor] = []

    def add(out: Tensor) -> Tensor:
        zeros.append(torch.zeros_like(out).requires_grad_())
        return zeros[-1]

    with disturbed(model, name, add):
        return Watched(capped=model(batch.x_BT), zeros=zeros)


def sampled_gradient(model: GPT, name: str, batch: Batch, seed: int) -> Tensor:
    """Float64 gradient of the summed loss of the drawn labels, one backward a position."""
    seen, label_BT = watch(model, name, batch), labels_of(model, batch, seed, 0)
    nll_BTV = -seen.capped.log_softmax(-1)
    positions = [nll_BTV[b, t, v] for b, row in enumerate(label_BT.tolist()) for t, v in enumerate(row)]
    return torch.stack([seen.gradient(position) for position in positions]).sum(0)


def test_the_head_by_hand() -> None:
    """One token, two labels: c = cap tanh(z / cap), g_v = (p_v - [y = v]) (1 - tanh^2), averaged over y."""
    cfg = replace(CFG, vocab_size=4, logit_softcap=2.0, recurrent_layers=())
    model = build_model(cfg, seed=0, precision="fp32")
    with torch.no_grad():
        model.tok_emb.weight.copy_(torch.eye(8)[:4])
    # At initialisation every block is the identity, so the head sees norm(row 1) = sqrt(8) e_1 and z = (0, sqrt 8, 0, 0).
    data = [Batch(x_BT=torch.tensor([[1]]), y_BT=torch.tensor([[1]]))]
    sums = collect_moments(model, data, count=1, names=[HEAD], tables=[], seed=0, device="cpu")
    top = 2 * math.tanh(math.sqrt(8) / 2)
    p, slope = math.exp(top) / (math.exp(top) + 3), 1 - (top / 2) ** 2
    q = (1 - p) / 3
    expected = [q * (1 - q), p * (1 - p) * slope**2, q * (1 - q), q * (1 - q)]
    assert sums.output_moments()[HEAD].tolist() == pytest.approx(expected, rel=1e-5)
    assert (sums.tokens, sums.visits[HEAD]) == (1, 1)


def test_inverse_distribution_function_by_hand() -> None:
    p = torch.tensor([[0.0, 0.25, 0.0, 0.75]] * 4)
    assert sample_labels(p, torch.tensor([0.0, 0.24, 0.25, 0.999])).tolist() == [1, 1, 3, 3]


def test_labels_come_as_often_as_their_share() -> None:
    p = torch.tensor([0.1, 0.0, 0.6, 0.3])
    uniforms = torch.from_numpy(np.random.default_rng(3).random(20_000, dtype=np.float32))
    found = torch.bincount(sample_labels(p.expand(20_000, 4), uniforms), minlength=4) / 20_000
    assert torch.allclose(found, p, atol=4 * math.sqrt(0.25 / 20_000))  # four standard errors of a share
    assert found[1] == 0


@pytest.mark.parametrize("name", [ONCE, TWICE, "blocks.2.attn.proj.weight", "blocks.2.mlp.proj.weight", "ve_shared.proj.weight"])
def test_outputs_equal_an_oracle_with_the_same_labels(name: str) -> None:
    model, batch = model_of(), batches(1)[0]
    gradient = sampled_gradient(model, name, batch, seed=5)
    sums = collect(model, [batch])
    assert sums.visits[name] == (24 if name == TWICE else 12) == gradient[..., 0].numel()
    assert torch.allclose(sums.outputs[name].double(), gradient.square().sum((0, 1, 2)), rtol=2e-4, atol=1e-9)  # float32


@pytest.mark.parametrize("name", [ONCE, TWICE])
def test_outputs_average_to_the_exact_fisher_over_many_draws(name: str) -> None:
    model, batch = model_of(), batches(1, sequences=1)[0]
    seen = watch(model, name, batch)
    log_p_BTV = seen.capped.log_softmax(-1)
    exact = torch.zeros(seen.zeros[0].shape[-1], dtype=torch.float64)
    for log_p in log_p_BTV.flatten():
        exact += log_p.detach().double().exp() * seen.gradient(log_p).square().sum((0, 1, 2))
    draws = torch.stack([collect(model, [batch], seed=seed).outputs[name] for seed in range(200)]).double()
    error = (draws.mean(0) - exact) / (draws.std(0) / math.sqrt(200))
    assert error.abs().max() < 4.5  # standard errors, the largest of at most 16 rows
    assert draws.mean() == pytest.approx(float(exact.mean()), rel=0.15)


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_equals_enumeration_over_labels(tied: bool) -> None:
    model, batch = model_of(replace(CFG, tied_embeddings=tied, logit_softcap=3.0)), batches(1)[0]
    weight = (model.tok_emb if model.lm_head is None else model.lm_head).weight
    z = F.linear(model.hidden(batch.x_BT), weight).detach().double().requires_grad_()
    log_p = (3.0 * torch.tanh(z / 3.0)).log_softmax(-1)
    exact = torch.zeros(VOCAB, dtype=torch.float64)
    for v in range(VOCAB):
        (grad,) = torch.autograd.grad(log_p[..., v].sum(), z, retain_graph=True)
        exact += (log_p[..., v].detach().exp()[..., None] * grad.square()).sum((0, 1))
    name = HEAD if tied else "lm_head.weight"
    sums = collect(model, [batch])
    assert torch.allclose(sums.outputs[name].double(), exact, rtol=1e-4)  # float32 softmax
    assert sums.visits[name] == sums.tokens == 12
    assert (HEAD in sums.outputs) is tied and HEAD in sums.lookups


@pytest.mark.parametrize("table", [HEAD, "ve_shared.embed.weight"])
def test_lookups_equal_an_oracle_and_rows_never_looked_up_are_zero(table: str) -> None:
    model, batch = model_of(), batches(1)[0]
    gradient = sampled_gradient(model, table, batch, seed=5)[0]
    expected = torch.zeros(VOCAB, dtype=torch.float64)
    for token, g in zip(batch.x_BT.flatten().tolist(), gradient.flatten(0, 1), strict=True):
        expected[token] += g.square().mean()
    sums = collect(model, [batch])
    assert torch.allclose(sums.lookups[table].double(), expected, rtol=2e-4, atol=1e-9)
    unseen = sorted(set(range(VOCAB)) - set(batch.x_BT.flatten().tolist()))
    assert 0 in unseen and sums.lookups[table][unseen].abs().max() == 0
    assert torch.equal(sums.lookup_moments()[table], sums.lookups[table] / 12)


@pytest.mark.parametrize("name", [ONCE, TWICE, "blocks.2.attn.c_q.weight", HEAD])
def test_half_the_moment_is_the_divergence_that_noise_costs(name: str) -> None:
    """KL(p || p disturbed) summed over positions ~ s^2 / 2 * sum of moments, for noise of variance s^2 at every output."""
    model, batch, s, draws = model_of(), batches(1, sequences=4)[0], 0.01, 200
    generator = torch.Generator().manual_seed(2)
    before = model(batch.x_BT).detach().double().log_softmax(-1)
    found = []
    for _ in range(draws):
        with torch.no_grad(), disturbed(model, name, lambda out: s * torch.randn(out.shape, generator=generator)):
            after = model(batch.x_BT).double().log_softmax(-1)
        found.append(float((before.exp() * (before - after)).sum()))
    sums = [collect(model, [batch], seed=seed) for seed in range(60)]
    predicted = [s**2 / 2 * float(m.lookups[name].sum() * CFG.width if name == HEAD else m.outputs[name].sum()) for m in sums]
    spread = math.hypot(np.std(found) / math.sqrt(draws), np.std(predicted) / math.sqrt(len(predicted)))
    mean = float(np.mean(predicted))
    assert np.mean(found) == pytest.approx(mean, abs=4 * spread + 0.02 * mean)  # plus third order
    assert spread < 0.2 * mean


def test_halves_and_groups_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = model_of(), batches(4, sequences=3)
    whole = collect(model, data)
    halves = collect(model, data[::2], numbers=range(0, 4, 2)) + collect(model, data[1::2], numbers=range(1, 4, 2))
    monkeypatch.setattr(fisher, "LOGITS_AT_ONCE", 2 * VOCAB * LENGTH)  # groups of two sequences and of one
    grouped = collect(model, data)
    for other in (halves, grouped):
        assert (other.tokens, other.visits) == (whole.tokens, whole.visits)
        for mine, theirs in ((whole.outputs, other.outputs), (whole.lookups, other.lookups)):
            assert list(mine) == list(theirs)
            assert all(torch.allclose(mine[k], theirs[k], rtol=1e-4, atol=1e-7) for k in mine)  # float32, other order
    assert whole.tokens == 4 * 3 * LENGTH


def test_equal_arguments_give_equal_sums_and_another_seed_other_labels() -> None:
    model, data = model_of(), batches(2)
    first, again, other = collect(model, data), collect(model, data), collect(model, data, seed=6)
    assert all(torch.equal(first.outputs[k], again.outputs[k]) for k in first.outputs)
    assert not torch.equal(first.outputs[ONCE], other.outputs[ONCE])
    assert torch.equal(first.outputs[HEAD], other.outputs[HEAD])


def test_the_model_is_put_back() -> None:
    model, data = model_of().train(), batches(1)
    model.blocks[0].requires_grad_(False)
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    with torch.no_grad():
        collect(model, data)
    bad = [Batch(x_BT=torch.tensor([[99]]), y_BT=torch.tensor([[0]]))]
    with pytest.raises(IndexError):
        collect(model, bad)
    assert model.training and wanted == {name: p.requires_grad for name, p in model.named_parameters()}
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_bfloat16_tables_are_measured_in_their_type_and_summed_in_float32() -> None:
    wide = model_of()
    narrow = build_model(CFG, seed=0, precision="bf16")
    narrow.load_state_dict(wide.state_dict())
    narrow.set_recurrence(True)
    near, far = collect(wide, batches(40)), collect(narrow, batches(40))
    assert far.outputs[ONCE].dtype is torch.float32
    for name in (ONCE, TWICE, HEAD):
        assert float(far.outputs[name].sum()) == pytest.approx(float(near.outputs[name].sum()), rel=0.2)  # other labels too


def test_a_layer_that_was_never_visited_and_sums_of_nothing_have_moments_of_zero() -> None:
    model = model_of()
    nothing = collect(model, [], seed=0)
    assert nothing.tokens == 0 and all(not t.any() for t in nothing.output_moments().values())
    assert all(not t.any() for t in nothing.lookup_moments().values())
    some = collect(model, batches(1))
    assert torch.equal((nothing + some).outputs[ONCE], some.outputs[ONCE])


def test_what_cannot_be_collected_or_added_is_refused() -> None:
    model, sums = model_of(), collect(model_of(), batches(1))
    with pytest.raises(DataError, match=r"1 calibration batches must be quantize.fisher_batches=2"):
        collect_moments(model, batches(1), count=2, names=[], tables=[], seed=0, device="cpu")
    with pytest.raises(RecurError, match=r"ve_shared.embed.weight is not the weight of a Linear"):
        collect_moments(model, [], count=0, names=["ve_shared.embed.weight"], tables=[], seed=0, device="cpu")
    with pytest.raises(RecurError, match=r"mlp.fc.weight is not the weight of a Embedding"):
        collect_moments(model, [], count=0, names=[], tables=[ONCE], seed=0, device="cpu")
    with pytest.raises(RecurError, match="cannot be added"):
        sums + MomentSum(outputs={}, visits={}, lookups={}, tokens=0)


def test_every_linear_layer_of_the_model_is_counted() -> None:
    model = model_of(replace(CFG, embedding_width=4, tied_embeddings=False))
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    sums = collect(model, batches(1))
    assert set(sums.outputs) == linear and {"embed_proj.weight", "head_proj.weight", "lm_head.weight"} <= linear
    assert set(sums.lookups) == {"tok_emb.weight", "ve_shared.embed.weight"}
    assert all(t.any() for t in sums.outputs.values())
