"""Scoring with a compiled forward, in batches of one fixed size.

Source: REFERENCE 11.2 and PERFORMANCE C: the reference scores with a compiled forward whose bf16 logits leave the graph, and
an eager cross-entropy after it. A smaller last batch would compile a second graph, on the evaluation clock; here it is
filled up with rows that are thrown away. Not for a model that is trained or calibrated afterwards: hooks added
later are not seen by the graph.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from recur.model.gpt import GPT
from recur.train.compiling import configure_compile


class CompiledScorer:
    """A model whose forward is compiled; scores like the model itself.

    Args:
        model: compiled in place.
        backend: of torch.compile.
    """

    def __init__(self, model: GPT, backend: str = "inductor") -> None:
        configure_compile()
        model.compile(dynamic=False, fullgraph=True, backend=backend)
        self.model = model
        self.training = model.training
        self._rows = 0

    def train(self, mode: bool = True) -> None:
        """Set the model's mode."""
        self.training = mode
        self.model.train(mode)

    def score(self, ids_BT: Tensor, targets_BT: Tensor, first: int = 0) -> Tensor:
        """Nats of each target from ``first`` on, float32; another ``first`` or a larger B than before compiles again."""
        rows = ids_BT.size(0)
        missing = self._missing(rows)
        nats = self.model.score(F.pad(ids_BT, (0, 0, 0, missing)), F.pad(targets_BT, (0, 0, 0, missing)), first)
        return nats[:rows]

    def logits(self, ids_BT: Tensor) -> Tensor:
        """The logits [B, T, V] behind `score`, from the same graph."""
        rows = ids_BT.size(0)
        logits: Tensor = self.model(F.pad(ids_BT, (0, 0, 0, self._missing(rows))))
        return logits[:rows]

    def _missing(self, rows: int) -> int:
        """Rows to fill up to the largest batch so far."""
        self._rows = max(self._rows, rows)
        return self._rows - rows
