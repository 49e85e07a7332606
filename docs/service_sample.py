"""Run the README's own commands against a service, and put their real output and a live picture into it.

    python docs/service_sample.py [--port 8800]

Starts `recur up` on an empty folder, runs the POST of the README's block word for word, takes docs/service/live.png while a
seed trains, waits for the end, checks that what the service tells equals sweep.json, and writes the output between the
README's marks.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- service:begin -->", "<!-- service:end -->"
CHROMIUM = "/usr/bin/chromium"
LONGEST_S = 3600.0


def posted_command() -> str:
    """The POST of the README: its one block that begins with curl."""
    found = re.search(r"```bash\n(curl [^`]*?/v1/sweeps .*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise SystemExit("README.md has no block with the POST")
    return found[1]


def output(command: str, environment: dict[str, str]) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def picture(url: str, path: Path) -> None:
    """The page of a sweep as it is now."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_timeout(3000)
        page.screenshot(path=path)
        browser.close()


def follow(sweep: str, base: str, environment: dict[str, str]) -> dict[str, Any]:
    """Wait for the report; take the picture once a seed has trained for a while and another waits."""
    ends, taken = time.monotonic() + LONGEST_S, False
    while time.monotonic() < ends:
        found: dict[str, Any] = json.loads(output(f"curl -fsS {base}/v1/sweeps/{sweep}", environment))
        done = [seed for seed in found["seeds"] if seed["state"] == "SUCCEEDED"]
        busy = [seed for seed in found["seeds"] if seed["phase"] == "train" and (seed["progress"] or {}).get("step")]
        if done and busy and not taken:
            picture(f"{base}/sweeps/{sweep}", ROOT / "docs" / "service" / "live.png")
            taken = True
        if found["reported_at"]:
            return found
        time.sleep(2)
    raise SystemExit("the sweep did not end in time")


def check(found: dict[str, Any], root: Path) -> None:
    """The service's numbers are those of sweep.json, to the last bit."""
    file = json.loads((root / "sweep.json").read_text())
    told = found["statistics"]
    same = told["mean_val_bpb"] == file["mean_val_bpb"] and told["sd_val_bpb"] == file["std_val_bpb"]
    for ours, theirs in zip(found["seeds"], file["seeds"], strict=True):
        same = same and ours["val_bpb"] == theirs["val_bpb"] and ours["total_bytes"] == theirs["total_bytes"]
    if not same:
        raise SystemExit(f"the service and {root / 'sweep.json'} differ")


def main() -> None:
    """Start, post, follow, check, write, end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8800, help="the README's port, unless it is taken")
    port = parser.parse_args().port
    with tempfile.TemporaryDirectory(prefix="rs") as out:
        environment = {**os.environ, "RECUR_API_URL": f"http://127.0.0.1:{port}", "COLUMNS": "130"}
        line = [sys.executable, "-m", "jobs.cli", "up", "--out", out, "--port", str(port), "--json"]
        service = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            places = json.loads(service.stdout.readline() if service.stdout else "{}")
            base = f"http://127.0.0.1:{port}"
            posted = json.loads(output(posted_command().replace("http://127.0.0.1:8800", base), environment))
            found = follow(posted["id"], base, environment)
            check(found, Path(places["out"]) / posted["id"])
            shown = output(f"{sys.executable} -m jobs.cli sweep show {posted['id']}", environment).rstrip()
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(timeout=30)
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    text = f"$ recur sweep show {posted['id']}\n{shown}"
    README.write_text(f"{before}{BEGIN}\n```text\n{text}\n```\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
