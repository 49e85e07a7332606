"""Weights from what a container holds: codes times steps in float32, equal on every machine.

Source: REFERENCE 8.6 (``q * scale``); QUANTIZATION 3, variants d1 and g (steps per row and column on a grid of eighths of
an octave). Powers of two come from a table of eight constants and `math.ldexp`, never from a library's ``exp2``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from recur.errors import ArtifactError
from recur.quantize.tensors import CODES, COLS, ROWS, SCALE, STEP, QuantizedModel

EIGHTHS = tuple(
    float.fromhex(constant)
    for constant in (
        "0x1.000000p+0",
        "0x1.172b84p+0",
        "0x1.306fe0p+0",
        "0x1.4bfdaep+0",
        "0x1.6a09e6p+0",
        "0x1.8ace54p+0",
        "0x1.ae89fap+0",
        "0x1.d5818ep+0",
    )
)
"""2 ** (k / 8) for k = 0..7, rounded to float32."""
_AGAIN = "write it again"


def exp2_eighths(exponents: Tensor) -> Tensor:
    """2 ** (exponents / 8), each the float32 of the table scaled by a power of two.

    Args:
        exponents: int8, any shape, in eighths of an octave.

    Returns:
        float32 of the same shape and device, from 2 ** -16 to 2 ** 15.875.
    """
    values = [math.ldexp(EIGHTHS[e % 8], e // 8) for e in range(-128, 128)]
    table = torch.tensor(values, dtype=torch.float32, device=exponents.device)
    return table[exponents.long() + 128]


def grid_weight(codes: Tensor, step: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Decoded weight of a grid: ``(q * row_step[:, None]) * col_step[None, :]``, in this order.

    Args:
        codes: int8 ``[R, C]``.
        step: base step, float32, 0-dim.
        rows: row exponents, int8 ``[R]``, eighths of an octave; row_step = step * 2 ** (rows / 8).
        cols: column exponents, int8 ``[C]``; col_step = 2 ** (cols / 8).

    Returns:
        float32 ``[R, C]``, the same bits wherever float32 products round to nearest even.
    """
    row_step_R = step * exp2_eighths(rows)
    return (codes.float() * row_step_R[:, None]) * exp2_eighths(cols)[None, :]


def decode_state(
    model: QuantizedModel, dtypes: Mapping[str, torch.dtype], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Weights of a model: codes times steps in float32, then the template's type; stored tensors converted to it.

    Entries without metadata are ignored, as in the reference.

    Args:
        model: the container's content.
        dtypes: type of every parameter of the template (`recur.model.build.template_dtypes`), in state-dict order.
        shapes: its shape.

    Returns:
        The state dict, in the template's order.

    Raises:
        ArtifactError: a parameter that is missing, unknown, of another kind or shape, or not finite.
    """
    missing, unknown = [n for n in dtypes if n not in model.meta], [n for n in model.meta if n not in dtypes]
    if missing or unknown:
        what = f"lacks {some(missing)}" if missing else f"holds the unknown parameter {some(unknown)}"
        raise ArtifactError("artifact", what, "read it with the recipe that wrote it")
    return {name: _decode(model, name, dtype, tuple(shapes[name])) for name, dtype in dtypes.items()}


def some(names: Sequence[str]) -> str:
    """The first three names and the number of the others, for a message."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _decode(model: QuantizedModel, name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    value = _value(model, name)
    if tuple(value.shape) != shape:
        raise ArtifactError(f"artifact {name}: shape {tuple(value.shape)}", f"must be {shape}", "read it with its recipe")
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise ArtifactError(f"artifact {name}", "holds NaN or infinity", _AGAIN)
    if value.is_floating_point() != dtype.is_floating_point:
        raise ArtifactError(f"artifact {name}: {value.dtype}", f"must be {dtype}", "read it with its recipe")
    return value.to(dtype)


def _value(model: QuantizedModel, name: str) -> Tensor:
    kind, entries = model.kind(name), model.entries
    if kind is None:
        return entries[name]
    if kind == "grid":
        return _grid(name, entries[name + CODES], entries[name + STEP], entries[name + ROWS], entries[name + COLS])
    return _dequantize(name, entries[name + CODES], entries[name + SCALE])


def _grid(name: str, codes: Tensor, step: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    bytes_only = all(tensor.dtype is torch.int8 for tensor in (codes, rows, cols))
    fits = codes.ndim == 2 and tuple(codes.shape) == (*rows.shape, *cols.shape) and rows.ndim == 1
    if not bytes_only or not fits:
        given = ", ".join(f"{t.dtype} {tuple(t.shape)}" for t in (codes, rows, cols))
        raise ArtifactError(f"artifact {name}: {given}", "must be int8 codes [R, C], rows [R] and columns [C]", _AGAIN)
    if step.dtype is not torch.float32 or step.ndim != 0 or not 0 < float(step) < math.inf:
        raise ArtifactError(f"artifact {name}: step {step.dtype} {step.tolist()}", "must be one positive float32", _AGAIN)
    return grid_weight(codes, step, rows, cols)


def _dequantize(name: str, codes: Tensor, scale: Tensor) -> Tensor:
    rows = scale.ndim == 1 and codes.ndim > 0 and scale.shape[0] == codes.shape[0]
    fine = codes.dtype is torch.int8 and scale.is_floating_point() and (scale.ndim == 0 or rows)
    if not fine:
        given = f"{codes.dtype} {tuple(codes.shape)} with {scale.dtype} {tuple(scale.shape)}"
        raise ArtifactError(f"artifact {name}: {given}", "must be int8 codes with a step or a step per row", _AGAIN)
    step = scale.float()
    return codes.float() * (step.view(-1, *[1] * (codes.ndim - 1)) if rows else step)
