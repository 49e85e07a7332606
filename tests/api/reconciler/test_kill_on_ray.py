"""kill -9 of the server at every boundary on a real Ray head: every job once, none lost, the next server goes on with them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from api.store import open_store
from recur.record.result import State
from tests.api.reconciler.kit import DATABASE, Bench, recipe_json
from tests.api.reconciler.on_ray import UP_S
from tests.api.reconciler.server import BOUNDARIES, ROUND_FILE
from tests.api.reconciler.test_kill import rows_of, server, wait
from tests.api.reconciler.test_on_ray import ENDLESS
from tests.api.volume import measured, volume
from tests.cluster.kit import Head, ray_head, short_folder

pytestmark = [pytest.mark.ray, pytest.mark.service, pytest.mark.timeout(3600)]

KILLED = volume(("post_sent",), BOUNDARIES)
LIVES = volume(1, 3)
ENDED = {"swp-s1-a1": State.SUCCEEDED, "del-s3-a1": State.CANCELLED}


class World:
    """What people ask of a server: one sweep that ends by itself, and one that does not and is cancelled while it runs."""

    def __init__(self, folder: Path) -> None:
        Bench(folder).store.close()
        self.folder, self.store = folder, open_store(f"sqlite:///{folder / DATABASE}")
        (folder / "inbox").mkdir()
        self._ask("submit.swp.1", json.dumps(recipe_json()))
        self._ask("submit.del.3", json.dumps(recipe_json(*ENDLESS)))

    def over(self) -> bool:
        """Whether everything has ended; asks for the cancel as soon as it is seen to train."""
        rows = rows_of(self.store)
        endless = rows.get("del-s3-a1")
        if endless is not None and endless.progress.get("step") and not (self.folder / "asked").exists():
            (self.folder / "asked").touch()
            self._ask("cancel.del", "")
        return set(rows) == set(ENDED) and all(row.state.terminal for row in rows.values())

    def a_round_since(self, began: float) -> bool:
        """Whether a server has gone through a whole round, with Ray's answers, after ``began``."""
        path = self.folder / ROUND_FILE
        return path.exists() and path.stat().st_mtime > began

    def _ask(self, name: str, text: str) -> None:
        path = self.folder / "inbox" / name
        path.with_name("new").write_text(text)
        path.with_name("new").rename(path)


def killed_at(boundary: str, folder: Path, head: Head) -> tuple[float, float]:
    """One life with a kill; seconds from the restart to the first whole round, and until everything has ended as it should."""
    world = World(folder)
    (folder / "kill").write_text(boundary)
    with server(folder, head.dashboard) as first:
        reached = wait(lambda: world.over() or first.poll() is not None, UP_S)
        assert reached, (f"{boundary} was never reached", rows_of(world.store), (folder / "server.log").read_text()[-3000:])
        assert first.poll() == -signal.SIGKILL, (folder / "server.log").read_text()[-3000:]
    began, at = time.monotonic(), time.time()
    with server(folder, head.dashboard) as second:
        assert wait(lambda: world.a_round_since(at), 60), (folder / "server.log").read_text()[-3000:]
        recovered_s = time.monotonic() - began
        assert wait(lambda: world.over() or second.poll() is not None, UP_S), (boundary, rows_of(world.store))
        assert second.poll() is None, (folder / "server.log").read_text()[-3000:]
    ends = {name: row.state for name, row in rows_of(world.store).items()}
    world.store.close()
    assert ends == ENDED
    return recovered_s, time.monotonic() - began


def jobs_of(head: Head) -> list[str]:
    """Ids of all jobs that were ever submitted to a head."""
    return [job["submission_id"] for job in head.get("/api/jobs/").json() if job["submission_id"]]


@pytest.mark.parametrize("boundary", KILLED)
def test_kill_9_at_a_boundary_on_a_real_head(boundary: str) -> None:
    recovered, ended = list[float](), list[float]()
    for _ in range(LIVES):
        with ray_head(cpus=2) as head, short_folder() as folder:
            one = killed_at(boundary, folder, head)
            recovered.append(one[0])
            ended.append(one[1])
            assert sorted(jobs_of(head)) == sorted(ENDED)
    numbers = {"kills": LIVES, "lost": 0, "duplicate_jobs": 0, "stuck": 0}
    measured(f"kill_9_on_ray_{boundary}", numbers | {"recovered_max_s": max(recovered), "ended_max_s": max(ended)})
    assert max(recovered) < 10
