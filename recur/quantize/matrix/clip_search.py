"""Component ``quantize.matrix = "clip_search"``: round to nearest, without calibration (the reference with GPTQ off).

Source: REFERENCE 8.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from recur.config import QuantizeConfig
from recur.quantize.rounding import clip_search
from recur.quantize.tensors import QuantizedTensor


def quantize_matrices(weights: Sequence[Tensor], hessian: Tensor | None, cfg: QuantizeConfig) -> list[QuantizedTensor]:
    """Int6 codes of each of ``weights`` ``[rows, columns]``; the Hessian is not used."""
    del hessian
    return [clip_search(weight.detach().float(), cfg, method=None) for weight in weights]
