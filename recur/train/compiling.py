"""torch.compile for the model's entry points.

From torch 2.12 on, overrides of `torch._dynamo.config` are per thread, and Ray Train runs the train function in a thread
of its own: `configure_compile` must be called first thing in the thread that trains.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RECOMPILE_LIMIT = 64


def configure_compile() -> None:
    """Allow one graph per depth and shape without falling back to eager."""
    from torch._dynamo import config  # over a second of imports, which processes that never compile do without

    config.recompile_limit = RECOMPILE_LIMIT
    config.fail_on_recompile_limit_hit = True


def compiled(function: Callable[..., Tensor], *, enabled: bool) -> Callable[..., Tensor]:
    """``function`` compiled as one graph per shape and depth, or itself."""
    return torch.compile(function, dynamic=False, fullgraph=True) if enabled else function
