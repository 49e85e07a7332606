"""Submission folders for the checker's tests: a clean one, built from numbers, and one with the published review's slips."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev

from recur.record.check import Finding, check_folder
from recur.record.known import known_records

GOLDEN = Path(__file__).parents[3] / "golden" / "records"
BPB_PER_NAT = 1.09211068 / 2.51297660

SCRIPT = '''"""A script without a slip."""
import math


class Hyperparameters:
    model_dim = 512
    num_layers = 11
    vocab_size = 4096


def loss(total: float, count: int) -> float:
    return total / max(count, 1) / math.log(2.0)


if __name__ == "__main__":
    print(loss(1.0, 2))
'''

SLIPS = '''"""A script with four slips."""
import torch

_config = None


def log(message, console=True):
    if _config is None:
        print(message)
    if _config.is_main:
        print(message)


def serialize(model) -> int:
    blob = model.tobytes()
    print(len(blob))


def train_model(model, steps) -> None:
    for _ in range(steps):
        model = model + 1
    return model, steps


def ttt_adapt(model):
    return model


def candidates(tensors):
    found = []
    for name, q in tensors.items():
        for row, column in (q.abs() == 1).nonzero().tolist():
            found.append((name, row, column))
    return found
'''


def log_text(seed: int, bpb: float, code: int, model: int, *, ttt: bool = False, extra: str = "") -> str:
    """A log in the usual form; the loss follows from the score."""
    return f"""Hyperparameters:
  model_dim: 512
  num_layers: 11
  run_id: run-{seed}
  seed: {seed}
  ttt_enabled: {ttt}
  vocab_size: 4096
train_shards: 80
{extra}warmup_step: 1/20
1/20000 train_loss: 8.3164 train_time: 0.0m tok/s: 8475705
5000/20000 val_loss: 2.5600 val_bpb: 1.1100
stopping_early: wallclock_cap train_time: 590{seed % 100:03d}ms step: 5{seed % 100:03d}/20000
pre-quantization post-ema val_loss:{(bpb + 0.004) / BPB_PER_NAT:.8f} val_bpb:{bpb + 0.004:.8f} eval_time:2017ms
Code size: {code} bytes
GPTQ:collected 66 Hessians in 9.8s
Serialized model int6+brotli: {model} bytes
Total submission size int6+brotli: {model + code} bytes
final_int6_roundtrip val_loss:{(bpb + 0.018) / BPB_PER_NAT:.8f} val_bpb:{bpb + 0.018:.8f} eval_time:8303ms
final_int6_sliding_window val_loss:{bpb / BPB_PER_NAT:.8f} val_bpb:{bpb:.8f} eval_time:76466ms
"""


def clean_folder(root: Path, scores: dict[int, float] | None = None, *, script: str = SCRIPT) -> Path:
    """A folder in which every number comes from its logs; better than every line it names."""
    scores = scores or {42: 1.08011068, 1337: 1.08076612, 2024: 1.08055323}
    root.mkdir(parents=True, exist_ok=True)
    code = len(script.encode())
    models = {seed: 15_800_000 + 7 * seed for seed in scores}
    for seed, bpb in scores.items():
        (root / f"train_seed{seed}.log").write_text(log_text(seed, bpb, code, models[seed]))
    bpbs = [round(b, 8) for b in scores.values()]
    losses = [round(b / BPB_PER_NAT, 8) for b in scores.values()]
    document = {
        "author": "A. Nonymous",
        "github_id": "nobody",
        "name": "Uniform steps",
        "date": "2026-04-06",
        "track": "10min_16mb",
        "val_loss": round(fmean(losses), 8),
        "val_bpb": round(fmean(bpbs), 8),
        "val_bpb_std": round(stdev(bpbs), 8),
        "seeds": list(scores),
        "seed_results": {
            str(seed): {
                "val_bpb": bpb,
                "val_loss": loss,
                "artifact_bytes": models[seed] + code,
                "steps": 5000 + seed % 100,
            }
            for seed, bpb, loss in zip(scores, bpbs, losses, strict=True)
        },
        "bytes_total": max(models.values()) + code,
        "bytes_code": code,
        "hardware": "8xH100 80GB SXM",
        "comparison_baseline_pr": 1019,
    }
    (root / "submission.json").write_text(json.dumps(document, indent=2) + "\n")
    (root / "train_gpt.py").write_text(script)
    (root / "requirements.txt").write_text("torch\n")
    (root / "README.md").write_text(readme(dict(zip(scores, bpbs, strict=True))))
    return root


def readme(scores: dict[int, float]) -> str:
    rows = "\n".join(f"| {seed} | {bpb:.8f} |" for seed, bpb in scores.items())
    mean, sd = fmean(scores.values()), stdev(scores.values())
    return f"""# Uniform steps

| seed | val_bpb |
|---|---|
{rows}
| mean | {mean:.8f} |

Standard deviation {sd:.6f}; compared with PR 1019 ({next(k for k in known_records() if k.pr == 1019).val_bpb.mean:.5f}).

```bash
SEED=42 MATRIX_LR=0.022 torchrun --nproc_per_node=8 train_gpt.py
```
"""


def planted_folder(root: Path) -> Path:
    """The seven findings of the published review, and its README's numbers without a source."""
    clean_folder(root, {42: 1.09211068, 1337: 1.09276612, 2024: 1.09255323}, script=SLIPS)
    path = root / "submission.json"
    document = json.loads(path.read_text())
    document |= {"name": "Record: slips", "blurb": "built on PR #1334", "val_loss": 2.51370050}
    path.write_text(json.dumps(document, indent=2) + "\n")
    text = (root / "README.md").read_text()
    text += "\n|| Seed || BPB ||\n||---||---||\n|| 42 || 1.0921 ||\n\nTrained for 5200–5400 steps. Std: 0.0004\n"
    (root / "README.md").write_text(text)
    return root


def codes(folder: Path, *, file: str | None = None) -> set[str]:
    """Kinds of the findings of a folder, or of one file in it."""
    return {f.code for f in check_folder(folder).findings if file is None or f.file == file}


def found(folder: Path, code: str) -> list[Finding]:
    """Findings of one kind."""
    return [f for f in check_folder(folder).findings if f.code == code]
