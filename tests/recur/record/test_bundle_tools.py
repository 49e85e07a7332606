"""The generator's parts: what may be renamed, folded, put in place and left out."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import functools
import hashlib
import lzma
import pathlib
import re
import struct
from typing import Any

import brotli
import constriction
import numpy as np
import pytest
import sentencepiece
import torch
from torch import nn

from recur.recipe import load_recipe
from recur.record.bundle.dead import without_dead
from recur.record.bundle.flatten import Style
from recur.record.bundle.fold import fold, known_values
from recur.record.bundle.inline import inline_constants, inline_functions, positional
from recur.record.bundle.program import program
from recur.record.bundle.rename import Program, rename


class _Member(enum.StrEnum):
    A = "a"


KNOWN: list[Any] = [
    *(torch, torch.Tensor, torch.device("cpu"), torch.float32, torch.empty(0), torch.Generator(), torch.cuda, torch.linalg),
    *(nn, nn.Module(), nn.Linear(1, 1), nn.Embedding(1, 1), nn.ModuleList, nn.ParameterList, nn.Parameter, nn.functional),
    *(torch.optim.AdamW([torch.zeros(1)]), torch.optim.SGD, torch.distributed, torch.backends.cuda, torch.autocast),
    *(np, np.zeros(1), np.random.default_rng(), np.random.PCG64, np.dtype(float), np.memmap, np.float64(1), np.random),
    *(pathlib.Path(), pathlib.Path().stat(), hashlib.sha256(), lzma, lzma.LZMADecompressor(), brotli, brotli.Decompressor()),
    *(constriction.stream.queue.RangeEncoder, constriction.stream.queue.RangeDecoder, constriction.stream.model.Categorical),
    *(constriction.stream.queue, constriction.stream.model, sentencepiece.SentencePieceProcessor, argparse.ArgumentParser),
    *(
        re.match("a", "a"),
        re.compile("a"),
        struct.Struct("<I"),
        _Member.A,
        functools.partial(print),
        OSError(),
        "",
        b"",
        bytearray(),
    ),
    *([], {}, set(), (), range(1), slice(1), memoryview(b""), 1, 1.0, True, dataclasses, struct, re, functools),
]
"""What the program gets from libraries and asks attributes of."""


def test_no_name_that_a_library_knows_is_renamed_as_an_attribute() -> None:
    known = {name for one in KNOWN for name in dir(one)}
    for profile in ("recur", "smoke"):
        recipe = load_recipe(profile, ['evaluate.modes=["plain", "sliding", "ttt"]'])
        source = program(recipe, Style(readable=False, fit=recipe.artifact.fit), None)
        renamed = set(Program(ast.parse(source)).renamer().attributes)
        assert renamed
        assert not renamed & known, sorted(renamed & known)


def test_parameters_of_a_model_keep_their_names() -> None:
    recipe = load_recipe("recur")
    tree = rename(ast.parse(program(recipe, Style(readable=False, fit="solve"), None)))
    stored = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    assert {"tok_emb", "blocks", "attn", "mlp", "c_q", "c_k", "c_v", "proj", "fc", "q_gain", "resid_mix"} <= stored


def after(change: Any, source: str) -> str:
    return ast.unparse(change(ast.parse(source)))


def test_a_question_that_the_recipe_answers_is_not_asked() -> None:
    source = "def f(cfg):\n    deep = cfg.depth > 2 and cfg.wide\n    if deep:\n        return 1\n    return g(cfg.depth)"
    (statement,) = ast.parse(source).body
    assert ast.unparse(fold(statement, {"depth": 2})) == "def f(cfg):\n    return g(2)"


def test_a_field_whose_name_is_also_something_else_is_not_folded() -> None:
    values = known_values(load_recipe("recur"))
    assert values["muon_momentum_start"] == 0.92 and values["recurrent_layers"] == (3, 4, 5)
    assert not {"width", "layers", "seq_len", "matrix", "code_bytes", "calibration_batches", "workers"} & set(values)


def test_keywords_become_positions_where_their_order_is_known() -> None:
    source = "def f(a, *, b, c=1):\n    return a\n\ndef g(x):\n    return f(x, c=3, b=2) + f(x, b=2) + x.sum(dim=0)"
    assert "f(x, 2, 3) + f(x, 2) + x.sum(dim=0)" in after(positional, source)


def test_one_line_functions_and_constants_are_put_in_place() -> None:
    source = "N = 3\n\ndef f(a):\n    return a + N\n\ndef g(x):\n    return f(x)\n\nprint(g(1), g(2))"
    assert (
        after(lambda tree: inline_functions(inline_constants(tree)), source) == "def g(x):\n    return x + 3\nprint(g(1), g(2))"
    )


def test_a_function_that_reads_its_argument_twice_stays_if_the_argument_has_an_effect() -> None:
    source = "def f(a):\n    return a + a\nprint(f(input()))"
    assert after(inline_functions, source) == source


def test_what_nothing_reads_is_left_out_and_what_has_an_effect_stays() -> None:
    source = "def f(x):\n    unread = x.y\n    kept = x.pop()\n    return x\n\ndef unused():\n    return 1\nprint(f(1), f(2))"
    assert after(without_dead, source) == "def f(x):\n    kept = x.pop()\n    return x\nprint(f(1), f(2))"


def test_a_check_that_no_longer_refuses_is_left_out_with_all_that_it_looked_at() -> None:
    source = """
def check(sections):
    found = [zlib.crc32(s) for s in sections]
def f(model):
    missing = model.missing_entries()
    check(model.sections)
    return model
class Model:
    def missing_entries(self):
        return []
print(f(Model()))
"""
    assert after(without_dead, source) == "def f(model):\n    return model\n\nclass Model:\n    pass\nprint(f(Model()))"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b, *, c=3):\n    return a + c\nprint(f(x, y), f(y, b=2))", "def f(a):\n    return a + 3\nprint(f(x), f(y))"),
        ("def f(a, b=None):\n    return (a, b)\nprint(f(x), f(y, 2))", None),
        ("def f(a, b):\n    return a\nprint(f(x, g()), f(y, 1))", None),
        ("def f(a, b):\n    return a\nprint(map(f, x, y), f(x, 1))", None),
        ("def f(a, b):\n    return a\nprint(f(*x), f(y, 1))", None),
        ("def f(a, b=1):\n    b += a\n    return b\nprint(f(x), f(y))", None),
        ("class C:\n\n    def __init__(self, a, b=2):\n        self.a = a * b\nprint(C(x).a, C(y).a)",
         "class C:\n\n    def __init__(self, a):\n        self.a = a * 2\nprint(C(x).a, C(y).a)"),
    ],
)  # fmt: skip
def test_parameters_with_one_value_or_no_reader_are_left_out_where_every_call_is_known(source: str, expected: str | None) -> None:
    assert after(without_dead, source) == (expected or source)
