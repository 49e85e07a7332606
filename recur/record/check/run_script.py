"""`--run-script` and `--smoke`: what the folder's script does when it is run without a network, and its main sizes.

The script runs in a copy of the folder (`recur.record.check.sandbox`). The smoke figures come from what the script says
of itself (`--describe`, one JSON object as its last line) where it has that option, else from the defaults that its syntax
shows, else from the logs; the source stands beside each.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from recur.record.check.code import code_bytes, code_files, read_source
from recur.record.check.finding import Finding, error, note, warning
from recur.record.check.sandbox import Limits, Ran, run_isolated
from recur.record.check.submission import SCRIPT, Submission

MAX_COPY_BYTES = 1024**3
_NETWORK = re.compile(
    r"Network is unreachable|Temporary failure in name resolution|Name or service not known|Could not resolve host"
    r"|Failed to establish a new connection|No route to host",
    re.IGNORECASE,
)
_IMPORT = """import json, time
start = time.monotonic()
import train_gpt
print(json.dumps({"import_s": round(time.monotonic() - start, 3)}))"""
_SIZES = {
    "model_dim": ("model_dim", "width", "d_model", "n_embd"),
    "num_layers": ("num_layers", "layers", "n_layer", "n_layers"),
    "vocab_size": ("vocab_size",),
}
_ISOLATE = "allow `unshare --net` (root, or unprivileged user namespaces), or leave the option out"


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """The figures of ``--smoke`` and what was found while taking them."""

    figures: dict[str, object]
    findings: tuple[Finding, ...]


def run_script(sub: Submission, limits: Limits, arguments: Sequence[str] = ()) -> Iterator[Finding]:
    """Run `python train_gpt.py ARGUMENTS` in a copy of the folder without a network, and say how it ended."""
    if sub.script is None:
        return
    ran = _run(sub, (SCRIPT, *arguments), limits)
    if isinstance(ran, Finding):
        yield ran
        return
    yield from _network(ran)
    if ran.exit_code is None:
        said = f"still ran after {limits.timeout_s:g} s and was stopped"
        yield error("timeout", said, "give --timeout more seconds, or make it end", file=SCRIPT)
    elif ran.exit_code != 0:
        said = f"ended with exit code {ran.exit_code} after {ran.seconds:.1f} s: {_last_line(ran.stderr)}"
        yield error("script_failed", said, "make it run from inside the folder", file=SCRIPT, line=_line_of_failure(ran.stderr))
    else:
        yield note("script_ran", f"ran in {ran.seconds:.1f} s without a network, exit code 0", file=SCRIPT)


def smoke(sub: Submission, limits: Limits) -> Smoke:
    """Import time, width, layers, vocabulary and code bytes, each with its source where that is not a measurement."""
    figures: dict[str, object] = {}
    findings: list[Finding] = []
    logged = next((s.log.code_bytes.value for s in sub.scored if s.log.code_bytes), None)
    if sub.script is not None:
        figures |= {"code_bytes": code_bytes(sub), "code_files": list(code_files(sub))}
    elif logged is not None:
        figures |= {"code_bytes": int(logged), "code_files": ["as logged"]}
    figures |= _sizes(sub)
    if sub.script is None:
        return Smoke(figures=figures, findings=())
    imported = _run(sub, ("-c", _IMPORT), limits)
    findings += _reported(figures, imported, "import", limits)
    if "--describe" in sub.script.text:
        described = _run(sub, (SCRIPT, "--describe"), limits)
        findings += _reported(figures, described, "--describe", limits)
    return Smoke(figures=figures, findings=tuple(findings))


def _run(sub: Submission, arguments: Sequence[str], limits: Limits) -> Ran | Finding:
    size = sum(sub.listing.files.values())
    if size > MAX_COPY_BYTES:
        said = f"the folder's {size:,} bytes are too many to copy; the script was not run"
        return error("too_large", said, "keep data and checkpoints out of the folder")
    with TemporaryDirectory(prefix="recur-check-") as base:
        work, scratch = Path(base) / "folder", Path(base) / "scratch"
        scratch.mkdir()
        try:
            _copy(sub, work)
        except OSError as e:
            return error("unreadable", f"cannot be copied, so it was not run ({e})", "check the permissions")
        ran = run_isolated(arguments, work, scratch, limits)
    if ran is None:
        said = "was not run: a new network namespace is not permitted on this machine"
        return error("no_isolation", said, _ISOLATE, file=SCRIPT)
    return ran


def _copy(sub: Submission, work: Path) -> None:
    for name in sub.listing.files:
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sub.listing.root / name, target, follow_symlinks=False)


def _network(ran: Ran) -> Iterator[Finding]:
    said = _NETWORK.search(ran.stderr) or _NETWORK.search(ran.stdout)
    if ran.addresses or said:
        what = "; ".join(ran.addresses[:3]) if ran.addresses else f'its output says "{said.group() if said else ""}"'
        yield error("network", f"tried the network: {what}", "evaluate from the folder's files alone", file=SCRIPT)


def _reported(figures: dict[str, object], ran: Ran | Finding, what: str, limits: Limits) -> list[Finding]:
    """Add the JSON object of the last line of a run to the figures; a run without one is a finding."""
    if isinstance(ran, Finding):
        return [ran]
    found = list(_network(ran))
    if ran.exit_code is None:
        return [*found, error("timeout", f"{what} still ran after {limits.timeout_s:g} s", "make it end", file=SCRIPT)]
    if ran.exit_code != 0:
        said = f"{what} ended with exit code {ran.exit_code}: {_last_line(ran.stderr)}"
        return [*found, warning("smoke", said, "install what requirements.txt names", file=SCRIPT)]
    try:
        told = json.loads(_last_line(ran.stdout))
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return [*found, warning("smoke", f"{what} printed no JSON object", "print one as the last line", file=SCRIPT)]
    figures.update({k: v for k, v in list(told.items())[:40] if isinstance(v, str | int | float | bool)})
    return found


def _sizes(sub: Submission) -> dict[str, object]:
    found: dict[str, object] = {}
    source = read_source(sub)
    defaults = _defaults(source.tree) if source else {}
    log = sub.scored[0].log if sub.scored else None
    for name, spellings in _SIZES.items():
        for spelling in spellings:
            if spelling in defaults:
                found |= {name: defaults[spelling], f"{name}_source": f"default of {SCRIPT}"}
                break
            if log is not None and re.fullmatch(r"[0-9]{1,9}", log.setting(spelling)):
                found |= {name: int(log.setting(spelling)), f"{name}_source": log.file}
                break
    return found


def _defaults(tree: ast.Module) -> dict[str, int]:
    """`name = 512`, `name: int = 512`, `name = int(read("NAME", 512))` at any level; the first one counts."""
    wanted = {spelling for spellings in _SIZES.values() for spelling in spellings}
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            name = target.id if isinstance(target, ast.Name) else ""
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if name in wanted and name not in found and value is not None and (number := _last_integer(value)) is not None:
                found[name] = number
    return found


def _last_integer(node: ast.expr) -> int | None:
    constants = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    numbers = [n for c in constants if (n := _whole(c)) is not None]
    return numbers[-1] if numbers else None


def _whole(constant: object) -> int | None:
    if isinstance(constant, str) and re.fullmatch(r"[0-9]{1,9}", constant):
        return int(constant)
    counts = isinstance(constant, int) and not isinstance(constant, bool) and 0 <= constant < 10**9
    return constant if counts and isinstance(constant, int) else None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def _line_of_failure(stderr: str) -> int | None:
    found = re.findall(rf'File "[^"]*{re.escape(SCRIPT)}", line (\d{{1,7}})', stderr)
    return int(found[-1]) if found else None
