"""Make the tables and plots of docs/quantization.md anew from benchmarks/results: `python docs/measured.py`."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PLOTS = ROOT / "benchmarks" / "results", ROOT / "docs" / "quantization"
PAGE = ROOT / "docs" / "quantization.md"


def main() -> None:
    """Fill every marked block of the page whose results exist."""
    PLOTS.mkdir(exist_ok=True)
    text = PAGE.read_text(encoding="utf-8")
    for name, make in (("fit", fit_tables), ("coding", coding_table), ("rules", rules_table), ("full_size", full_size_table)):
        path = RESULTS / f"{name}.json"
        block = make(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else "unmeasured"
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        text = text.split(begin)[0] + f"{begin}\n{block}\n{end}" + text.split(end)[1]
    PAGE.write_text(text, encoding="utf-8")


def fit_tables(found: dict[str, Any]) -> str:
    """KL of both sides and their ratios per width, the coders, the caps; and the plot of KL over bytes."""
    runs = found["runs"]
    _plot_fit(runs[0])
    lines = [
        _machine(found, runs),
        "",
        "| width | case | faithful KL | ours KL | ours / faithful | bar | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for width in dict.fromkeys(run["width"] for run in runs):
        some = [run for run in runs if run["width"] == width]
        for i, first in enumerate(some[0]["ratios"]):
            theirs, ours = (_kl_of(some, first["case"], side) for side in ("faithful", "ours"))
            ratio = _spread([run["ratios"][i]["ratio"] for run in some], first["se"], 3)
            lines.append(f"| {width} | {first['case']} | {theirs} | {ours} | {ratio} | {first['bar']} | {first['goal']} |")
    lines += ["", "| codes | brotli 11, bytes | ours, bytes | ours / brotli, all checkpoints | bar |", "|---|---|---|---|---|"]
    for i, c in enumerate(runs[0]["coding"]):
        ratios = [run["coding"][i]["ratio"] for run in runs]
        missed = sum(not run["coding"][i]["met"] for run in runs)
        reach = f"{min(ratios):.4f} to {max(ratios):.4f}" + (f", **missed by {missed} of {len(runs)}**" if missed else "")
        lines.append(f"| {c['codes']} | {c['brotli_bytes']:,} | {c['our_bytes']:,} | {reach} | {c['bar']} |")
    caps = [cap for run in runs for cap in run["caps"]]
    slack, most = (max(cap[k] for cap in caps) for k in ("slack_frac", "compressions"))
    lines += ["", "![KL over bytes](quantization/kl_over_bytes.png)"]
    lines += ["", f"{len(caps)} random caps: largest slack {slack:.4%} of the cap, at most {most} real compressions."]
    return "\n".join(lines)


def coding_table(found: dict[str, Any]) -> str:
    """Bytes of the coders on synthetic codes, and the speed of ours."""
    lines = ["| codes | brotli 11, bytes | ours, bytes | ours / brotli | decoded, M symbols/s |", "|---|---|---|---|---|"]
    for row in found["rows"]:
        size = f"{row['brotli_bytes']:,} | {row['ours_bytes']:,} | {row['ratio']:.4f}"
        lines.append(f"| {row['codes']}, {row['tensors']} | {size} | {row['decode_msymbols_per_s']:.1f} |")
    return "\n".join(lines)


def rules_table(found: dict[str, Any]) -> str:
    """KL of every rule at equal bytes, on training text that the run has not seen; and its plot."""
    run = found["runs"][0]
    _plot_rules(run)
    lines = [_machine(found, found["runs"]), "", "| rule | " + " | ".join(f"width {r['width']}" for r in found["runs"]) + " |"]
    lines.append("|---|" + "---|" * len(found["runs"]))
    for i, row in enumerate(run["rows"]):
        lines.append(f"| {row['side']}: {row['name']} | " + " | ".join(_kl(r["rows"][i]) for r in found["runs"]) + " |")
    lines += ["", "![KL of the rules](quantization/rules.png)"]
    return "\n".join(lines)


def full_size_table(found: dict[str, Any]) -> str:
    """One line of the full-size artifact."""
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in found["seconds"].items())
    size = f"{found['weights']:,} weights in {found['total_bytes']:,} of {found['cap_bytes']:,} bytes"
    return f"{_where(found)}: {size}; {seconds}; peak memory {found['peak_memory_bytes'] / 2**30:.2f} GiB."


def _kl(row: dict[str, Any]) -> str:
    return f"{row['kl']:.5f} ± {row['kl_se']:.5f}"


def _kl_of(runs: list[dict[str, Any]], case: str, side: str) -> str:
    rows = [next(r for r in run["rows"] if r["name"] == case and r["side"] == side) for run in runs]
    return _spread([row["kl"] for row in rows], rows[0]["kl_se"], 5)


def _spread(values: list[float], se: float, digits: int) -> str:
    """Mean and sample sd; of one value, its standard error."""
    spread = stdev(values) if len(values) > 1 else se
    return f"{mean(values):.{digits}f} ± {spread:.{digits}f}"


def _where(found: dict[str, Any]) -> str:
    hardware = found["hardware"]
    return str(hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores")


def _machine(found: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    models = []
    for width in dict.fromkeys(run["width"] for run in runs):
        some = [run for run in runs if run["width"] == width]
        size = f" ({some[0]['parameters']:,} parameters)" if "parameters" in some[0] else ""
        word = "seed" if len(some) == 1 else "seeds"
        models.append(f"width {width}{size}, {word} {', '.join(str(run['seed']) for run in some)}")
    return f"On {_where(found)}; {'; '.join(models)}."


def _plot_fit(run: dict[str, Any]) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4))
    solved = [r for r in run["rows"] if r["side"] == "faithful" and "solved" in r["name"]]
    series = {
        "reference, pruned to the cap": [r for r in run["rows"] if r["side"] == "faithful" and r not in solved],
        "reference, step solved": solved,
        "ours": [r for r in run["rows"] if r["side"] == "ours"],
    }
    for (label, rows), mark in zip(series.items(), "sDo", strict=True):
        ordered = sorted(rows, key=lambda r: r["total_bytes"])
        axes.plot([r["total_bytes"] / 1e6 for r in ordered], [r["kl"] for r in ordered], mark, linestyle="-", label=label)
    axes.set(xlabel="total bytes, MB", ylabel="KL(trained || round trip), nats per token", yscale="log")
    axes.legend()
    figure.tight_layout()
    figure.savefig(PLOTS / "kl_over_bytes.png", dpi=120)


def _plot_rules(run: dict[str, Any]) -> None:
    rows = run["rows"]
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    axes.barh([f"{r['side']}: {r['name']}" for r in rows], [r["kl"] for r in rows], xerr=[r["kl_se"] for r in rows])
    axes.set(xlabel="KL on held-out training text, nats per token", xscale="log")
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(PLOTS / "rules.png", dpi=120)


if __name__ == "__main__":
    main()
