"""The script as it is read: bytes, wrappers, slips and features; and as it is run without a network."""

from __future__ import annotations

import ast
import base64
import lzma
import time
import zlib
from pathlib import Path

import brotli
import pytest

from recur.record.check import Level
from recur.record.check import sandbox as boxes
from recur.record.check.code import code_bytes, code_files
from recur.record.check.habits import check_habits
from recur.record.check.run_script import run_script, smoke
from recur.record.check.sandbox import Limits
from recur.record.check.submission import read_submission
from recur.record.check.unwrap import unwrap
from tests.recur.record.check.folders import SCRIPT, SLIPS, clean_folder, codes, found

INNER = "def main() -> int:\n    return 7\n\n\nprint(main())\n"
QUICK = Limits(timeout_s=20)


def test_every_module_that_the_script_imports_is_code(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, text in {
        "train_gpt.py": "import helper, numpy\nfrom parts import layer\n",
        "helper.py": "from deep import x\n",
        "deep.py": "x = 1\n",
        "parts/__init__.py": "",
        "parts/layer.py": "y = 2\n",
        "unused.py": "z = 3\n",
    }.items():
        (tmp_path / name).write_text(text)
    sub = read_submission(tmp_path)
    assert code_files(sub) == ("deep.py", "helper.py", "parts/__init__.py", "parts/layer.py", "train_gpt.py")
    assert code_bytes(sub) == sum((tmp_path / name).stat().st_size for name in code_files(sub))
    assert [f.file for f in found(tmp_path, "unused_code")] == ["unused.py"]


def test_code_bytes_are_recounted_against_json_and_logs(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    (folder / "train_gpt.py").write_text(SCRIPT + "# more\n")
    assert {f.file for f in found(folder, "code_bytes")} == {"submission.json", *(f"train_seed{s}.log" for s in (42, 1337, 2024))}


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", script="x = 1\ndef f(:\n")
    (finding,) = found(folder, "syntax")
    assert (finding.level, finding.line) == (Level.ERROR, 2)


def zipped(source: str) -> bytes:
    return base64.b64encode(zlib.compress(source.encode()))


RAW = lzma.compress(INNER.encode(), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9}])
LZMA1 = {"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 1 << 20, "lc": 4, "lp": 0, "pb": 0}
B85 = base64.b85encode
WRAPPED = {
    "lzma": f"import lzma,base64\nexec(lzma.decompress(base64.b85decode({B85(lzma.compress(INNER.encode()))!r})))",
    "zlib": f"import zlib as z,base64 as b\nexec(z.decompress(b.b64decode('{zipped(INNER).decode()}')).decode())",
    "brotli": "from base64 import a85decode as A\nimport brotli\n"
    f"D={base64.a85encode(brotli.compress(INNER.encode()))!r}\nexec(brotli.decompress(A(D)))",
    "dunder": f"exec(__import__('zlib').decompress(__import__('base64').b64decode({zipped(INNER)!r})))",
    "compiled": f"import zlib,base64\nexec(compile(zlib.decompress(base64.b64decode({zipped(INNER)!r})),'x','exec'))",
    "raw lzma": f"import lzma,base64\nexec(lzma.decompress(base64.b85decode({B85(RAW)!r}),"
    "format=lzma.FORMAT_RAW,filters=[{'id':lzma.FILTER_LZMA2}]))",
    "raw lzma in a Latin-1 string": "#coding:latin1\nimport lzma\nexec(lzma.decompress("
    f"{lzma.compress(INNER.encode(), lzma.FORMAT_RAW, filters=[LZMA1]).decode('latin1')!r}.encode('latin1'),3,None,"
    f"[dict(id={lzma.FILTER_LZMA1},dict_size=1<<20,lc=4,lp=0,pb=0)]))",
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_scripts_are_opened_without_running_them(kind: str) -> None:
    opened = unwrap(WRAPPED[kind])
    assert (opened.source, opened.layers) == (INNER, 1)


def test_wrappers_inside_wrappers_are_opened_too() -> None:
    twice = f"import zlib,base64\nexec(zlib.decompress(base64.b64decode({zipped(WRAPPED['lzma'])!r})))"
    assert (unwrap(twice).source, unwrap(twice).layers) == (INNER, 2)


@pytest.mark.parametrize("text", ["exec(open('x').read())", "exec(input())", "exec(zlib.decompress(b'no'))", "exec(f(1))", "x ="])
def test_what_needs_running_stays_closed(text: str) -> None:
    assert (unwrap(text).source, unwrap(text).layers) == (text, 0)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = base64.b64encode(zlib.compress(b"x" * 50_000_000))
    text = f"import zlib,base64\nexec(zlib.decompress(base64.b64decode({bomb!r})))"
    assert unwrap(text).layers == 0


def test_a_wrapped_script_is_read_inside_and_counted_as_shipped(tmp_path: Path) -> None:
    packed = f"import zlib,base64\nexec(zlib.decompress(base64.b64decode({zipped(SLIPS)!r})))\n"
    folder = clean_folder(tmp_path / "folder", script=packed)
    assert {"wrapped", "falls_through", "return_type", "entry_list"} <= codes(folder)
    assert "code_bytes" not in codes(folder)


def test_a_latin_1_script_that_says_so_is_read_and_one_that_does_not_is_found(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    text = WRAPPED["raw lzma in a Latin-1 string"]
    (folder / "train_gpt.py").write_bytes(text.encode("latin-1"))
    assert "wrapped" in codes(folder) and "not_utf8" not in codes(folder)
    (folder / "train_gpt.py").write_bytes("x = 'é'".encode("latin-1"))
    assert [(f.file, f.line) for f in found(folder, "not_utf8")] == [("train_gpt.py", 1)]


def habits(source: str) -> list[str]:
    return [f.code for f in check_habits(ast.parse(source), "x.py")]


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    if x is None:\n        return\n    x.y()\n",
        "def f(x):\n    if x is None:\n        x = g()\n    x.y()\n",
        "def f(x):\n    if x is None:\n        print(1)\n    else:\n        x.y()\n",
        "def f(x):\n    if not x:\n        raise ValueError\n    x.y()\n",
        "def f() -> int:\n    raise ValueError\n",
        "def f() -> int: ...\n",
        "def f() -> int:\n    def g():\n        return 1\n    return g()\n",
        "def f() -> Iterator[int]:\n    yield 1\n",
        "def f() -> None:\n    def g():\n        return 1\n    return\n",
        "def f() -> int | None:\n    print(1)\n",
        "def f(a):\n    return [(x, y) for x, y in zip(a, a)]\n",
        "def f(s, starts):\n    return [(s, i) for i in starts.tolist()]\n",
        "def f(x):\n    if x is None:\n        init()\n    x.y()\n",
        "def f(x):\n    global re\n    if re is None:\n        import re\n    re.y()\n",
    ],
)
def test_sound_functions_have_no_slip(source: str) -> None:
    assert habits(source) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def f(x):\n    if not x:\n        print(1)\n    x.y()\n", "falls_through"),
        ("def f() -> int:\n    print(1)\n", "return_type"),
        ("def f() -> int:\n    return\n", "return_type"),
        ("def f() -> None:\n    return 1, 2\n", "return_type"),
        (
            "def f(ts, out):\n    for n, t in ts:\n        for i, e in zip(t.tolist(), t):\n            out.append((n, i, e))\n",
            "entry_list",
        ),
        ("def f(t):\n    return [(i, j) for i, j in t.nonzero().tolist()]\n", "entry_list"),
        ("def f(t, found):\n    for i in range(t.numel()):\n        found.append((t[i], i))\n", "entry_list"),
    ],
)
def test_slips_are_found(source: str, code: str) -> None:
    assert habits(source) == [code]


def test_ttt_that_ran_names_its_seeds(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder", script=SCRIPT + "\n\ndef eval_ttt():\n    return 1\n")
    path = folder / "train_seed42.log"
    path.write_text(path.read_text() + "ttt_sliding:start chunks=3\n")
    assert found(folder, "feature")[0].message == "TTT code is present (eval_ttt) and was executed for seed 42"


def ran(folder: Path, script: str, limits: Limits = QUICK, arguments: tuple[str, ...] = ()) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "train_gpt.py").write_text(script)
    return {f.code: f.message for f in run_script(read_submission(folder), limits, arguments)}


needs_namespaces = pytest.mark.skipif(boxes.isolation() is None, reason="this machine permits no network namespaces")


@needs_namespaces
def test_a_script_runs_in_a_copy_with_its_arguments_and_no_secrets(tmp_path: Path) -> None:
    script = (
        "import os, sys\nassert sys.argv[1:] == ['--quick']\nopen('left', 'w').write('x')\n"
        "assert set(os.environ) <= {'PATH', 'LANG', 'HOME', 'TMPDIR', 'PYTHONPATH', 'PYTHONDONTWRITEBYTECODE',"
        " 'OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'LC_CTYPE'}, set(os.environ)\n"
    )
    assert set(ran(tmp_path / "a", script, arguments=("--quick",))) == {"script_ran"}
    assert not (tmp_path / "a" / "left").exists()


@needs_namespaces
@pytest.mark.parametrize("swallowed", [True, False])
def test_a_script_that_opens_a_socket_is_found_even_where_it_hides_the_error(tmp_path: Path, swallowed: bool) -> None:
    connect = "socket.create_connection(('192.0.2.1', 80), timeout=1)"
    body = f"try:\n    {connect}\nexcept OSError:\n    pass\n" if swallowed else f"{connect}\n"
    found_ = ran(tmp_path / "a", f"import socket\n{body}")
    assert "192.0.2.1" in found_["network"]
    assert ("script_failed" in found_) is not swallowed


@needs_namespaces
def test_a_script_that_runs_for_ever_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    for _ in range(3000):\n"
        f"        open({str(beat)!r}, 'a').write('x')\n        time.sleep(0.02)\n"
        "while True:\n    time.sleep(0.1)\n"
    )
    assert "still ran after 1 s" in ran(tmp_path / "a", script, Limits(timeout_s=1))["timeout"]
    size = beat.stat().st_size
    assert size > 0
    time.sleep(0.2)
    assert beat.stat().st_size == size


@needs_namespaces
def test_a_script_that_fails_is_found_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train_gpt.py").write_text("x = 1\nraise SystemError('broken')\n")
    (finding,) = run_script(read_submission(tmp_path / "a"), QUICK)
    assert (finding.code, finding.line) == ("script_failed", 2) and "broken" in finding.message


@needs_namespaces
def test_a_script_cannot_fill_the_disk_or_the_memory(tmp_path: Path) -> None:
    limits = Limits(timeout_s=20, file_bytes=1_000_000, memory_bytes=1_000_000_000)
    assert "script_failed" in ran(tmp_path / "a", "open('big', 'wb').write(b'x' * 10_000_000)", limits)
    assert "MemoryError" in ran(tmp_path / "b", "x = bytearray(4_000_000_000)", limits)["script_failed"]


def test_without_isolation_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "isolation", lambda: None)
    mark = tmp_path / "ran"
    assert set(ran(tmp_path / "a", f"open({str(mark)!r}, 'w')")) == {"no_isolation"}
    assert not mark.exists()


@needs_namespaces
def test_smoke_gives_import_time_sizes_and_code_bytes(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    measured = smoke(read_submission(folder), QUICK)
    sizes = {name: measured.figures[name] for name in ("model_dim", "num_layers", "vocab_size", "code_bytes")}
    assert sizes == {"model_dim": 512, "num_layers": 11, "vocab_size": 4096, "code_bytes": len(SCRIPT.encode())}
    assert isinstance(measured.figures["import_s"], float) and measured.findings == ()


@needs_namespaces
def test_smoke_takes_what_the_script_says_of_itself(tmp_path: Path) -> None:
    script = "import json, sys\nif '--describe' in sys.argv:\n    print(json.dumps({'model_dim': 96, 'params': 7}))\n"
    folder = clean_folder(tmp_path / "folder", script=script)
    figures = smoke(read_submission(folder), QUICK).figures
    assert (figures["model_dim"], figures["params"]) == (96, 7)


def test_smoke_reads_the_logs_where_there_is_no_script(tmp_path: Path) -> None:
    folder = clean_folder(tmp_path / "folder")
    (folder / "train_gpt.py").unlink()
    figures = smoke(read_submission(folder), QUICK).figures
    assert (
        figures["model_dim"] == 512
        and figures["model_dim_source"] == "train_seed42.log"
        and figures["code_files"] == ["as logged"]
    )
