"""The network of the reference run: embedding, depth plan, two lanes, tied head with soft-cap.

Source: REFERENCE 4. Blocks and skips come by name from the recipe (`recur.model.blocks`, `recur.model.skips`); this file
knows only the depth plan. Parameter names and their order are the reference's state dict.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recur.components import component
from recur.config import ModelConfig
from recur.model.attention import CastedLinear, Rotary, Rotation, norm, tail
from recur.model.depth import BlockLike, Lanes, depth_plan, has_lanes, skip_rows

VALUE_EMBEDDING_STD = 0.01
VALUE_SCALE_INIT = 0.1


class ValueEmbedding(nn.Module):
    """Token table shared by some layers' values: ``(table[ids] W^T) * scale`` (REFERENCE 4.3)."""

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        kv_width = cfg.kv_heads * (cfg.width // cfg.heads)
        self.scale = nn.Parameter(torch.tensor(VALUE_SCALE_INIT))
        self.embed = nn.Embedding(cfg.vocab_size, cfg.value_embedding_width)
        nn.init.normal_(self.embed.weight, std=VALUE_EMBEDDING_STD)
        self.proj: CastedLinear | None = None
        if cfg.value_embedding_width != kv_width:
            self.proj = CastedLinear(cfg.value_embedding_width, kv_width)
            nn.init.zeros_(self.proj.weight)

    def forward(self, ids_BT: Tensor) -> Tensor:
        e = self.embed(ids_BT)
        e = e if self.proj is None else self.proj(e)
        out: Tensor = e * self.scale.to(e.dtype)
        return out


class GPT(nn.Module):
    """Decoder-only language model with depth recurrence.

    Args:
        cfg: shapes and the depth plan. Draws its initial values from torch's CPU generator in the reference's order.
    """

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        self.cfg = cfg
        skip = component("recur.model.skips", cfg.skip)
        self._blend_skip = skip.blend
        initial = skip.parameters(skip_rows(cfg), cfg.width)
        self._skip_names = tuple(initial)
        for name, value in initial.items():
            self.register_parameter(name, nn.Parameter(value))
        if has_lanes(cfg):
            self.lane_merge = nn.Parameter(torch.tensor(0.5))
        self.tok_emb = nn.Embedding(cfg.vocab_size, cfg.embedding_width)
        projects = cfg.embedding_width != cfg.width
        self.embed_proj = CastedLinear(cfg.embedding_width, cfg.width) if projects else None
        self.head_proj = CastedLinear(cfg.width, cfg.embedding_width) if projects else None
        block = component("recur.model.blocks", cfg.block).Block
        self.blocks = nn.ModuleList(block(cfg, layer) for layer in range(cfg.layers))
        has_values = cfg.value_embedding_width > 0 and len(cfg.value_embedding_layers) > 0
        self.ve_shared = ValueEmbedding(cfg) if has_values else None
        count = len(cfg.value_embedding_layers) if has_values else 0
        self.ve_layer_scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(count))
        self.lm_head = None if cfg.tied_embeddings else CastedLinear(cfg.embedding_width, cfg.vocab_size)
        self.rotary = Rotary(cfg)
        self.plans = {on: depth_plan(cfg, recurrence=on) for on in (False, True)}
        self.recurrence_active = False

    def set_recurrence(self, active: bool) -> None:
        """Switch the second visit of the recurrent layers on or off."""
        self.recurrence_active = active

    def _values(self, ids_BT: Tensor) -> dict[int, Tensor]:
        """Value embedding of each layer that has one, [B, T, K*d]."""
        if self.ve_shared is None:
            return {}
        shared = self.ve_shared(ids_BT)
        pairs = zip(self.cfg.value_embedding_layers, self.ve_layer_scales, strict=True)
        return {layer: shared * scale.to(shared.dtype) for layer, scale in pairs}

    def features(self, ids_BT: Tensor, first: int = 0) -> Tensor:
        """The residual stream [B, T - first, D] in front of the final norm, from position ``first`` on.

        The MLP lane is position-wise and nothing but the head reads it, so it is cut where it begins; of the attention lane
        only the last block's queries can be.
        """
        plan = self.plans[self.recurrence_active]
        x = norm(self.tok_emb(ids_BT))
        x = x if self.embed_proj is None else self.embed_proj(x)
        x0, values, rotation = x, self._values(ids_BT), self.rotary(ids_BT.size(1))
        outputs: list[Tensor] = []
        for layer in plan.encoder:
            x = self.blocks[layer](x, x0, values.get(layer), rotation)
            outputs.append(x)
        return self._decode(x, x0, outputs, values, rotation, first)

    def _decode(
        self, x: Tensor, x0: Tensor, outputs: list[Tensor], values: dict[int, Tensor], rotation: Rotation, first: int
    ) -> Tensor:
        skips = {name: self.get_parameter(name) for name in self._skip_names}
        lanes: Lanes | None = None
        steps = self.plans[self.recurrence_active].decoder
        for step in steps:
            wanted = first if step is steps[-1] else 0
            if step.skip_has_effect and step.skip_row is not None and step.skip_from is not None:
                reads = x if lanes is None else lanes.attention
                blended = self._blend_skip(reads, outputs[step.skip_from], step.skip_row, skips)
                if lanes is None:
                    x = blended
                else:
                    lanes = Lanes(attention=blended, mlp=lanes.mlp)
            block = cast(BlockLike, self.blocks[step.layer])
            if step.lanes:
                lanes = block.lanes(lanes or Lanes(x, tail(x, first)), x0, values.get(step.layer), rotation, wanted)
            else:
                x = block(x, x0, values.get(step.layer), rotation, wanted)
        if lanes is None:
            return x
        merge = self.lane_merge.to(x.dtype)
        return merge * lanes.attention + (1 - merge) * lanes.mlp

    def hidden(self, ids_BT: Tensor, first: int = 0) -> Tensor:
        """The head's input [B, T - first, E]: final norm of the features, projected to the table's width where that differs."""
        x = norm(self.features(ids_BT, first))
        return x if self.head_proj is None else self.head_proj(x)

    def readout(self, x_BTE: Tensor) -> Tensor:
        """Soft-capped logits [B, T, V] of the head's input, in its dtype."""
        z = F.linear(x_BTE, self.tok_emb.weight.to(x_BTE.dtype)) if self.lm_head is None else self.lm_head(x_BTE)
        cap = self.cfg.logit_softcap
        return cap * torch.tanh(z / cap)

    def forward(self, ids_BT: Tensor, first: int = 0) -> Tensor:
        """Soft-capped logits [B, T - first, V] in the compute dtype, from position ``first`` on."""
        return self.readout(self.hidden(ids_BT, first))

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        """Negative log-likelihood of every target from position ``first`` on in nats, float32 [B, T - first]."""
        targets_BT = targets_BT[:, first:]
        logits = self(ids_BT, first).float()
        return F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten(), reduction="none").view(targets_BT.shape)

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean negative log-likelihood in nats over all positions (no masking)."""
        return F.cross_entropy(self(ids_BT).float().flatten(0, 1), targets_BT.flatten())
