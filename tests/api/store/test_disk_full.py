"""A full disk: the caller is told so, nothing is damaged, and writing goes on when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.store import Store, StoreUnavailable, attempts, backup, open_store, sweeps
from api.store.listing import ListedSweep
from tests.api.store import workers
from tests.api.store.kit import HOUR_S, integrity, new_sweep, numbers, put
from tests.api.volume import volume
from tests.small_disk import small_disk as small_disk_at

SMALL_KB = 1536


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.5 MiB; without one the file size limit tests the same."""
    with small_disk_at(tmp_path / "small", SMALL_KB) as folder:
        yield folder


def fill_up(folder: Path) -> Path:
    """Take all the room there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            while _grows(file.write, b"x" * size):
                pass
    return ballast


def _grows(write: object, data: bytes) -> bool:
    assert callable(write)
    try:
        return bool(write(data) == len(data))
    except OSError:
        return False


def check_kept(store: Store, kept: list[str]) -> None:
    """All of ``kept`` and nothing else, in full."""
    with store.read() as c:
        lines: list[ListedSweep] = []
        page = sweeps.listed(c, limit=200, after=None, state=None, sort="name")
        lines += page.lines
        while page.next is not None:
            page = sweeps.listed(c, limit=200, after=page.next, state=None, sort="name")
            lines += page.lines
        assert sorted(line.id for line in lines) == sorted(kept)
        for name in kept:
            assert len(attempts.current(c, name)) == 3
            assert numbers(c, name) == [1, 2]


@pytest.mark.service
def test_writes_to_a_full_disk_are_refused_and_taken_up_again(small_disk: Path) -> None:
    store = open_store(f"sqlite:///{small_disk}/store.db")
    kept: list[str] = []
    for turn in range(volume(3, 20, gate=1)):
        ballast = fill_up(small_disk)
        full = 0
        for n in range(200):
            name = f"t{turn}-{n}"
            try:
                put(store, name, recipe={"text": "x" * 3000})
                kept.append(name)
            except StoreUnavailable as error:
                assert error.full
                full += 1
                check_kept(store, kept)
                if full == 3:
                    break
        assert full == 3
        ballast.unlink()
        put(store, f"after-{turn}")
        kept.append(f"after-{turn}")
        check_kept(store, kept)
        for table in ("events", "attempts", "sweeps"):  # make room for the next turn, with little room for the log
            with store.write() as c:
                c.exec_driver_sql(f"DELETE FROM {table}")
            with store.read() as c:
                c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        kept.clear()
        assert integrity(small_disk / "store.db") == "ok"
    store.close()


@pytest.mark.service
def test_a_full_disk_at_the_start_is_said_and_starting_again_works(small_disk: Path) -> None:
    for turn in range(volume(1, 20)):
        path = small_disk / f"store-{turn}.db"
        ballast = fill_up(small_disk)
        with pytest.raises(StoreUnavailable) as caught:
            open_store(f"sqlite:///{path}")
        assert caught.value.full
        ballast.unlink()
        store = open_store(f"sqlite:///{path}")
        put(store)
        check_kept(store, ["a-1"])
        ballast = fill_up(small_disk)
        with pytest.raises(StoreUnavailable) as caught:
            backup(store, small_disk / "copy.db")
        assert caught.value.full
        assert not list(small_disk.glob("copy*"))
        store.close()
        ballast.unlink()
        assert integrity(path) == "ok"
        for left in small_disk.glob("store*"):
            left.unlink()


@pytest.mark.service
def test_a_file_size_limit_is_a_full_disk_too(tmp_path: Path) -> None:
    for turn in range(volume(1, 20)):
        path = tmp_path / f"store-{turn}.db"
        (said,) = workers.finish([workers.start("fill", f"sqlite:///{path}", 1024 + 37 * turn)])
        *refusals, kept = said.splitlines()
        assert refusals == ["full=True"] * 3
        assert integrity(path) == "ok"
        store = open_store(f"sqlite:///{path}")
        with store.read() as c:
            names = kept.split()
            assert all(len(attempts.current(c, name)) == 3 for name in names)
            assert len(sweeps.listed(c, limit=100_000, after=None, state=None, sort="name").lines) == len(names)
        with store.write() as c:
            sweeps.create(c, new_sweep("later"), ageing_s=HOUR_S)
        store.close()
