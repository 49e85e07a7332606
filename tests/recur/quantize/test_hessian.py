"""Calibration sums (REFERENCE 8.4)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recur.config import ModelConfig
from recur.data.loader import Batch
from recur.errors import DataError, RecurError
from recur.model.build import build_model
from recur.quantize.hessian import HessianSum, collect_hessians, shared_input

NAMES = ["attn.c_q.weight", "attn.c_k.weight", "attn.c_v.weight", "mlp.fc.weight"]
BLOCK_NAMES = [f"blocks.0.{name}" for name in NAMES]


def ids(x_BT: Tensor) -> Batch:
    return Batch(x_BT=x_BT, y_BT=x_BT)


class Block(nn.Module):
    """Three projections of one input, and a layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({name: nn.Linear(6, 6, bias=False) for name in ("c_q", "c_k", "c_v")})
        self.mlp = nn.ModuleDict({"fc": nn.Linear(6, 5, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.attn["c_q"](x) + self.attn["c_k"](x) * self.attn["c_v"](x)
        total: Tensor = self.mlp["fc"](y).sum() + self.mlp["fc"](x).sum()
        return total


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(11, 6)
        self.blocks = nn.ModuleList([Block()])
        self.drop = nn.Dropout(0.5)

    def forward(self, ids_BT: Tensor) -> Tensor:
        out: Tensor = self.blocks[0](self.drop(self.table(ids_BT)))
        return out


def batches(count: int, seed: int = 0) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [ids(torch.randint(0, 11, (2, 7), generator=generator)) for _ in range(count)]


def collect(model: nn.Module, data: list[Batch], count: int | None = None) -> HessianSum:
    return collect_hessians(model, data, count=count or len(data), names=BLOCK_NAMES, device="cpu")


def test_sum_of_one_input_by_hand() -> None:
    model = nn.Sequential(nn.Linear(2, 3, bias=False))
    sums = collect_hessians(model, [ids(torch.tensor([[1.0, 2.0], [3.0, -1.0]]))], count=1, names=["0.weight"], device="cpu")
    assert sums.mean()["0.weight"].tolist() == [[10.0, -1.0], [-1.0, 5.0]]


def test_both_visits_of_a_layer_count_and_equal_a_float64_oracle() -> None:
    model, data = Toy().eval(), batches(3)
    block, total = model.blocks[0], torch.zeros(6, 6, dtype=torch.float64)
    assert isinstance(block, Block)
    with torch.no_grad():
        for batch in data:
            x = model.table(batch.x_BT)
            a = block.attn
            for seen in (x, a["c_q"](x) + a["c_k"](x) * a["c_v"](x)):
                flat = seen.reshape(-1, 6).double()
                total += flat.t() @ flat
    mine = collect(model, data).mean()["blocks.0.mlp.fc.weight"]
    assert torch.allclose(mine.double(), total / 3, rtol=1e-5, atol=1e-6)  # float32 sums of 42 products


def test_q_k_and_v_hold_one_tensor_and_keep_it_when_merged() -> None:
    sums = collect(Toy(), batches(2))
    assert list(sums.sums) == BLOCK_NAMES
    for held in (sums.sums, (sums + sums).sums, sums.mean()):
        assert held[BLOCK_NAMES[0]] is held[BLOCK_NAMES[1]] is held[BLOCK_NAMES[2]]
    assert list(sums.distinct()) == [BLOCK_NAMES[0], BLOCK_NAMES[3]]
    again = HessianSum.shared(sums.distinct(), sums.aliases(), sums.batches)
    assert again.aliases() == sums.aliases()


def test_the_sum_of_two_ranks_is_the_sum_of_all_their_batches() -> None:
    model, data = Toy(), batches(5)
    merged = collect(model, data[:2]) + collect(model, data[2:])
    whole = collect(model, data)
    assert merged.batches == whole.batches == 5
    for name in BLOCK_NAMES:
        assert torch.allclose(merged.mean()[name], whole.mean()[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(RecurError, match="cannot be added"):
        merged + HessianSum(sums={"other": torch.eye(2)}, batches=1)


def test_the_model_gets_its_mode_back_and_keeps_no_hook() -> None:
    model = Toy().train()
    collect(model, batches(1))
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    with pytest.raises(IndexError):
        collect(model, [ids(torch.tensor([[99]]))])
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_dropout_is_off_and_only_count_batches_are_taken() -> None:
    model, data = Toy().train(), batches(4)
    first, second = collect(model, data, 2), collect(model, iter(data), 2)  # type: ignore[arg-type]
    assert torch.equal(first.sums[BLOCK_NAMES[0]], second.sums[BLOCK_NAMES[0]])
    assert first.batches == 2


def test_bfloat16_inputs_are_summed_in_float32() -> None:
    model = nn.Sequential(nn.Linear(2, 3, bias=False)).bfloat16()
    x = torch.tensor([[1.0, 0.0], [0.0078125, 0.0]]).bfloat16()
    total = collect_hessians(model, [ids(x)], count=1, names=["0.weight"], device="cpu").sums["0.weight"]
    assert total.dtype is torch.float32
    assert total[0, 0].item() == 1.0 + 0.0078125**2


def test_too_few_batches_and_names_that_are_no_linear_layer_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 calibration batches must be quantize.calibration_batches=2"):
        collect(Toy(), batches(1), 2)
    with pytest.raises(RecurError, match=r"table.weight is not the weight of a linear layer"):
        collect_hessians(Toy(), batches(1), count=1, names=["table.weight"], device="cpu")


def test_only_attention_projections_share_an_input() -> None:
    assert len({shared_input(name) for name in BLOCK_NAMES}) == 2
    assert shared_input("blocks.1.attn.c_q.weight") != shared_input("blocks.2.attn.c_q.weight")
    assert shared_input("blocks.1.attn.proj.weight") == "blocks.1.attn.proj.weight"


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_counts_as_the_layer_that_reads_the_last_hidden_state(tied: bool) -> None:
    cfg = ModelConfig(
        vocab_size=11,
        layers=2,
        width=8,
        embedding_width=4,
        heads=2,
        kv_heads=1,
        train_seq_len=7,
        rope_dims=4,
        value_embedding_layers=(),
        recurrent_layers=(),
        parallel_from_layer=0,
        tied_embeddings=tied,
    )
    model, data = build_model(cfg, seed=0, precision="fp32"), batches(2)
    names = ["tok_emb.weight" if tied else "lm_head.weight", "blocks.0.attn.c_q.weight", "head_proj.weight"]
    sums = collect_hessians(model, data, count=2, names=names, device="cpu")
    assert list(sums.sums) == names
    hidden = torch.cat([model.hidden(batch.x_BT).detach().double().flatten(0, 1) for batch in data])
    assert torch.allclose(sums.sums[names[0]].double(), hidden.t() @ hidden, rtol=1e-4, atol=1e-6)  # float32 sums
    without = collect_hessians(model, data, count=2, names=names[1:], device="cpu")
    assert all(torch.equal(without.sums[name], sums.sums[name]) for name in names[1:])
    assert torch.equal(model(data[0].x_BT), model.readout(model.hidden(data[0].x_BT)))
