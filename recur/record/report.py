"""The one writer of a sweep's numbers: sweep.json and results.csv, from one `SweepResult`.

`results.csv` is the same document with one row a seed: nested fields are joined with an underscore
(``val_bpb_sliding``, ``seconds_train``), placement and quantized are one JSON cell each. Numbers are written so that both
files parse to the same floats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from recur.errors import ArtifactError
from recur.record.atomic import finite, read_json, write_bytes_atomic, write_json_atomic
from recur.record.codec import from_json, to_json
from recur.record.result import Phase, Scores, SeedResult, SweepResult

JSON_NAME = "sweep.json"
CSV_NAME = "results.csv"
_NESTED = {"val_bpb": tuple(Scores.__dataclass_fields__), "val_loss": tuple(Scores.__dataclass_fields__)}


def write_sweep(out: Path, result: SweepResult) -> None:
    """Write `sweep.json` and `results.csv` below ``out``; each is whole or absent.

    Raises:
        StorageError: the disk is full or not writable.
    """
    document = finite(to_json(result))
    write_json_atomic(out / JSON_NAME, document)
    write_bytes_atomic(out / CSV_NAME, results_frame(result).to_csv(index=False, lineterminator="\n").encode())


def read_sweep(path: Path) -> SweepResult:
    """The sweep in `sweep.json`; ``path`` is the file or its folder.

    Raises:
        ArtifactError: there is none, or the file is not a sweep.
    """
    file = path / JSON_NAME if path.is_dir() else path
    if not file.is_file():
        raise ArtifactError(str(file), "does not exist", "give the folder of a sweep, <out>/<sweep>")
    return from_json(SweepResult, read_json(file), where=str(file))


def results_frame(result: SweepResult) -> pd.DataFrame:
    """One row a seed, the columns of `results.csv`; absent values are None, integers stay integers."""
    head = {"sweep": result.sweep, "profile": result.profile, "fingerprint": result.fingerprint}
    rows = [{**head, **_flat(seed)} for seed in result.seeds]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or list(head)
    return pd.DataFrame(rows, columns=columns, dtype=object)


def read_results(path: Path) -> pd.DataFrame:
    """`results.csv` with the very floats of `sweep.json`; ``path`` is the file or its folder."""
    # the C parser's default may be off by a last bit; Python's float() is exact
    return pd.read_csv(path / CSV_NAME if path.is_dir() else path, engine="python")


def _flat(seed: SeedResult) -> dict[str, object]:
    row: dict[str, object] = {}
    document: dict[str, Any] = to_json(seed)
    for name, value in document.items():
        if name in _NESTED:
            row |= {f"{name}_{part}": value[part] for part in _NESTED[name]}
        elif name == "seconds":
            row |= _seconds(value or {})
        elif name in ("placement", "quantized"):
            row[name] = None if value is None else json.dumps(finite(value), ensure_ascii=False)
        else:
            row[name] = value
    return {k: finite(v) for k, v in row.items()}


def _seconds(seconds: dict[str, float]) -> dict[str, object]:
    """A column for every phase, in their order, then any other clock."""
    names = [p.value for p in Phase] + [n for n in seconds if n not in {p.value for p in Phase}]
    return {f"seconds_{name}": seconds.get(name) for name in names}
