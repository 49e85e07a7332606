"""Which block runs when: depth recurrence, U-Net skips and the point where the stream splits into two lanes.

Source: REFERENCE 4.4, 4.5. The plan is data, so that a test can compare it with the published table and the model can
hold both plans (recurrence off and on) at once. Deviation (default): a skip whose turn comes after the split goes into
the attention lane (openai/parameter-golf PR #1529); ``dead_skips`` is the reference, where it reaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from recur.config import ModelConfig
from recur.model.attention import Rotation


@dataclass(frozen=True)
class Lanes:
    """The two residual streams of the parallel part, each [B, T, D]."""

    attention: Tensor
    mlp: Tensor


class BlockLike(Protocol):
    """What a block of `recur.model.blocks` must be: callable in serial form, with a two-lane form beside it.

    ``first``: the streams that attention writes are wanted from this position on.
    """

    def __call__(self, x: Tensor, x0: Tensor, value: Tensor | None, rotation: Rotation, first: int = 0) -> Tensor: ...
    def lanes(self, lanes: Lanes, x0: Tensor, value: Tensor | None, rotation: Rotation, first: int = 0) -> Lanes: ...


@dataclass(frozen=True, kw_only=True)
class DecoderStep:
    """One decoder position.

    ``skip_row`` is the row of the skip weights blended in before it (None: no skip); ``skip_from`` the virtual index
    whose output is popped. It is blended into the single stream where there is one before this step (also where this
    step splits it), else into the attention lane; ``skip_has_effect`` is False where the recipe drops it instead.
    """

    layer: int
    skip_row: int | None
    skip_from: int | None
    skip_has_effect: bool
    lanes: bool


@dataclass(frozen=True, kw_only=True)
class DepthPlan:
    """Physical layer indices in the order in which they run."""

    encoder: tuple[int, ...]
    decoder: tuple[DecoderStep, ...]

    @property
    def virtual_layers(self) -> tuple[int, ...]:
        return self.encoder + tuple(step.layer for step in self.decoder)


def skip_rows(cfg: ModelConfig) -> int:
    """Number of skip-weight rows: always counted on the physical layers."""
    return min(cfg.layers // 2, cfg.layers - cfg.layers // 2)


def virtual_layers(cfg: ModelConfig, *, recurrence: bool) -> tuple[int, ...]:
    """``0..L-1``; with recurrence the whole recurrent list follows its last element once more."""
    order: list[int] = []
    for layer in range(cfg.layers):
        order.append(layer)
        if recurrence and cfg.recurrent_layers and layer == cfg.recurrent_layers[-1]:
            order.extend(cfg.recurrent_layers)
    return tuple(order)


def has_lanes(cfg: ModelConfig) -> bool:
    """Whether the recipe splits the stream at all (lane_merge exists only then)."""
    return 0 < cfg.parallel_from_layer < cfg.layers


def depth_plan(cfg: ModelConfig, *, recurrence: bool) -> DepthPlan:
    """The plan for recurrence off or on."""
    order = virtual_layers(cfg, recurrence=recurrence)
    encoder = order[: len(order) // 2]
    rows, stack, lanes = skip_rows(cfg), list(range(len(encoder))), False
    steps: list[DecoderStep] = []
    for position, layer in enumerate(order[len(encoder) :]):
        row = position if stack and position < rows else None
        came_from = stack.pop() if row is not None else None
        effect = row is not None and not (lanes and cfg.dead_skips)
        lanes = lanes or (has_lanes(cfg) and layer >= cfg.parallel_from_layer)
        steps.append(DecoderStep(layer=layer, skip_row=row, skip_from=came_from, skip_has_effect=effect, lanes=lanes))
    return DepthPlan(encoder=encoder, decoder=tuple(steps))
