"""What `recur adopt` does: find the run, by Ray where only a submission id is known, and write it into the database."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from api.service.adopting import DriverLives, Run, adopt_run
from api.settings import Settings, load_settings
from api.store import open_store
from api.store.rows import SweepRow
from cluster.diagnose import get, ray_token
from cluster.own_ray import known_dashboard, token_path
from cluster.submission import find_run

POLL_S = 2.0


def adopt_now(run: str, *, config: Path | None, dashboard: str | None, wait: bool) -> SweepRow:
    """Adopt a run into the database of the settings.

    Args:
        run: submission id or folder.
        config: TOML file of settings.
        dashboard: Ray's; None for that of `recur up`, else of the settings.
        wait: until the run can be adopted.

    Raises:
        InputError: it cannot be adopted, or not yet.
        RecurError: Ray or the database does not answer.
    """
    settings = load_settings(config)
    store = open_store(settings.database)
    try:
        while True:
            try:
                return adopt_run(store, settings.folder, _find(run, settings, dashboard), ageing_s=settings.ageing_s)
            except DriverLives:
                if not wait:
                    raise
            time.sleep(POLL_S)
    finally:
        store.close()


def _find(run: str, settings: Settings, dashboard: str | None) -> Run:
    """The run that the user means; Ray is asked only for a submission id."""
    if "/" in run or Path(run).is_dir():
        return Run(root=Path(run))
    ray = (dashboard or known_dashboard(settings.folder) or settings.ray_dashboard).rstrip("/")
    token = ray_token(os.environ, token_path(settings.folder))
    found = find_run(run, lambda path: get(f"{ray}{path}", token), lambda job: _log(ray, job, token))
    return Run(root=found.root, submission=run, driver_lives=found.driver_lives)


def _log(ray: str, job: str, token: str | None) -> str:
    """The job's log, whose first lines name its folder."""
    answer = get(f"{ray}/api/jobs/{job}/logs", token)
    return str(json.loads(answer.text).get("logs", "")) if answer.status == 200 else ""
