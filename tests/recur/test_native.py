"""The compiled kernels: torch's bits on any shape, torch's path where they cannot be had, one library for many builders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recur import native
from recur.native import built, install
from recur.optim import ema
from recur.quantize import sweep
from recur.quantize.matrix.gptq import quantize_matrices
from recur.recipe import load_recipe


@pytest.fixture(autouse=True)
def torch_paths(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch's paths before each test and after it, on one thread."""
    monkeypatch.setattr(sweep, "round_block", sweep.torch_block)
    monkeypatch.setattr(ema, "blend", torch._foreach_lerp_)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 100),
    columns=st.integers(1, 70),
    block=st.integers(1, 80),
    limit=st.sampled_from([7, 31, 127]),
    own_steps=st.booleans(),
)
def test_a_sweep_has_torchs_codes(seed: int, rows: int, columns: int, block: int, limit: int, own_steps: bool) -> None:
    draw = torch.Generator().manual_seed(seed)
    x_NC = torch.randn(3 * columns, columns, generator=draw)
    factor = sweep.factorise(x_NC.t() @ x_NC, 0.01)
    assert factor is not None
    W_RC, step_R = torch.randn(rows, columns, generator=draw), torch.rand(rows, generator=draw) * 0.2 + 0.01
    column_C = torch.rand(columns, generator=draw) + 0.5 if own_steps else None
    sweep.round_block = sweep.torch_block
    expected = sweep.sweep(W_RC, step_R, factor.upper, block, limit=limit, column_C=column_C)
    assert install()
    assert sweep.round_block is not sweep.torch_block
    assert torch.equal(expected, sweep.sweep(W_RC, step_R, factor.upper, block, limit=limit, column_C=column_C))


def test_a_halfway_value_is_rounded_to_even_and_a_weight_far_out_is_clamped() -> None:
    assert install()
    W_RC = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30]])
    assert sweep.sweep(W_RC, torch.ones(1), torch.eye(7), 4).tolist() == [[0, 2, 2, 0, -2, 31, -31]]


def test_a_block_in_double_precision_goes_to_torch() -> None:
    assert install()
    W_RC, upper = torch.randn(3, 5, dtype=torch.float64), torch.eye(5, dtype=torch.float64)
    codes = sweep.sweep(W_RC, torch.full((3,), 0.1, dtype=torch.float64), upper, 2)
    assert torch.equal(codes, (W_RC / 0.1).round().clamp(-31, 31).to(torch.int8))


@pytest.mark.parametrize("threads", [1, 2])
def test_an_average_has_torchs_bits(threads: int) -> None:
    torch.set_num_threads(threads)
    states = []
    for compiled in (False, True):
        if compiled:
            assert install()
        torch.manual_seed(1)
        linear = nn.Linear(37, 501)
        linear.weight.data = linear.weight.data.t().contiguous().t()  # columns contiguous
        model = nn.Sequential(linear, nn.BatchNorm1d(3), nn.Linear(501, 3).bfloat16())
        average = ema.Ema(model, 0.9965)
        for _ in range(3):
            for p in model.parameters():
                p.data.add_(torch.randn_like(p), alpha=0.1)
            average.update()
        states.append(average.state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_matrices_have_torchs_codes_at_the_records_settings() -> None:
    cfg = replace(load_recipe("record_1421").quantize, block_columns=32)
    draw = torch.Generator().manual_seed(4)
    weights = [torch.randn(rows, 96, generator=draw) * 0.3 for rows in (64, 32)]
    x_NC = torch.randn(300, 96, generator=draw)
    expected = quantize_matrices(weights, x_NC.t() @ x_NC / 300, cfg)
    assert install()
    for a, b in zip(expected, quantize_matrices(weights, x_NC.t() @ x_NC / 300, cfg), strict=True):
        assert torch.equal(a.q, b.q)
        assert torch.equal(a.scale, b.scale)


def test_without_a_compiler_torchs_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not install()
    assert sweep.round_block is sweep.torch_block


def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/false")
    assert not install()
    assert list((tmp_path / ".cache" / "recur" / "native").iterdir()) == []


def test_a_home_that_cannot_be_written_leaves_torchs_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    monkeypatch.setenv("HOME", str(home))
    assert not install()


def test_a_library_of_other_results_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.Kernels, "agree", lambda _: False)
    assert not install()
    assert sweep.round_block is sweep.torch_block


def test_many_builders_leave_one_library(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(built, [tmp_path] * 4))
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
    assert len(paths) == 1


def test_the_environment_tells_whether_they_are_in_use(tmp_path: Path) -> None:
    code = "from recur.record.environment import environment; print(environment()['native_kernels'])"
    told: list[str] = []
    for path in (os.environ["PATH"], "/nowhere"):
        home = tmp_path / str(len(told))
        home.mkdir()
        variables = {"PATH": path, "HOME": str(home)}
        done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
        told.append(done.stdout.strip())
    assert told == ["True", "False"]
