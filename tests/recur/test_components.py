"""Parts by name: a new file is a new part, and nothing but our own modules can be named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import recur.model.skips
from recur.components import available, component
from recur.errors import RecipeError
from recur.model.gpt import GPT
from tests.recipes import tiny_recipe


def test_known_parts_are_listed() -> None:
    assert available("recur.model.skips") == ["gated", "plain"]


@pytest.mark.parametrize("name", ["os", "../gated", "gated.os", "__init__", "Gated", ""])
def test_only_own_modules_can_be_named(name: str) -> None:
    with pytest.raises(RecipeError, match="choose one of"):
        component("recur.model.skips", name)


def test_a_new_skip_is_a_new_file_and_gpt_stays_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "halved.py").write_text(
        "import torch\n"
        "def parameters(rows, width):\n    return {'skip_halves': torch.full((rows, width), 0.5)}\n"
        "def blend(x, skipped, row, parameters):\n    return x + parameters['skip_halves'][row] * skipped\n"
    )
    monkeypatch.setattr(recur.model.skips, "__path__", [*recur.model.skips.__path__, str(tmp_path)])
    recipe = tiny_recipe("model.skip=halved")
    model = GPT(recipe.model)
    ids = torch.zeros(1, 8, dtype=torch.long)
    model.loss(ids, ids).backward()  # type: ignore[no-untyped-call]
    assert "skip_halves" in model.state_dict() and "skip_gates" not in model.state_dict()
