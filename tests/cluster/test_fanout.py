"""Fan-out on a real Ray: order, names, retries, GPU actors, and errors as they were raised."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import ray

from cluster.fanout import RayBackend
from recur.config import ClusterConfig
from recur.errors import DataError, RecurError, WorkerLost

CPU = ClusterConfig(workers=2, gpus_per_worker=0, cpus_per_worker=1, backend="gloo")
GPU = ClusterConfig(workers=2, gpus_per_worker=1, cpus_per_worker=1, backend="gloo")


@pytest.fixture(scope="module", autouse=True)
def small_ray() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    patch.undo()


@dataclass(frozen=True)
class Item:
    number: int
    array: np.ndarray
    folder: Path | None = None


def double(item: Item) -> int:
    return 2 * item.number + int(item.array[0])


def write_into(item: Item) -> bool:
    return bool(item.array.flags.writeable)


def die_once(item: Item) -> int:
    assert item.folder is not None
    marker = item.folder / f"tried-{item.number}"
    if not marker.exists():
        marker.touch()
        os._exit(1)
    return item.number


def die_three_times(item: Item) -> int:
    assert item.folder is not None
    if item.number == 0 and len(list(item.folder.iterdir())) < 3:
        (item.folder / str(os.getpid())).touch()
        os._exit(1)
    return item.number


def die_always(item: Item) -> int:
    os._exit(1)


def refuse(item: Item) -> int:
    if item.number == 3:
        raise DataError("shard x", "is cut", "fetch it again")
    return item.number


def crash(item: Item) -> int:
    raise ZeroDivisionError(f"boom {item.number}\nmore")


def alone(item: Item) -> bool:
    """Whether no other item was at work while this one was."""
    assert item.folder is not None
    mine = item.folder / str(item.number)
    mine.touch()
    time.sleep(0.5)
    found = list(item.folder.iterdir())
    mine.unlink()
    return found == [mine]


def visible_gpus(item: Item) -> str:
    return f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}"


def items(count: int, folder: Path | None = None) -> list[Item]:
    return [Item(i, np.full(300_000, i), folder) for i in range(count)]


def names(count: int) -> list[str]:
    return [f"work[seed=1 {i}]" for i in range(count)]


pytestmark = pytest.mark.ray


def test_results_come_back_in_the_order_of_their_items_and_progress_counts_up() -> None:
    seen: list[int] = []
    assert RayBackend(CPU).map(double, items(9), names=names(9), progress=seen.append) == [3 * i for i in range(9)]
    assert seen == list(range(1, 10))


def test_no_items_are_no_results() -> None:
    assert RayBackend(CPU).map(double, [], names=[], progress=lambda _: None) == []


def test_what_arrives_through_the_object_store_is_read_only() -> None:
    assert RayBackend(CPU).map(write_into, items(1), names=names(1), progress=lambda _: None) == [False]


def test_an_item_whose_worker_dies_is_run_again(tmp_path: Path) -> None:
    assert RayBackend(CPU).map(die_once, items(2, tmp_path), names=names(2), progress=lambda _: None) == [0, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_item_whose_worker_dies_every_time_is_a_loss() -> None:
    with pytest.raises(WorkerLost, match=r"work\[seed=1 0\] was lost: its process died"):
        RayBackend(CPU).map(die_always, items(1), names=names(1), progress=lambda _: None)


def test_our_own_error_comes_out_as_it_was_raised() -> None:
    with pytest.raises(DataError) as raised:
        RayBackend(CPU).map(refuse, items(6), names=names(6), progress=lambda _: None)
    assert str(raised.value) == "shard x is cut; fetch it again"
    assert type(raised.value) is DataError


def test_another_error_is_one_line_with_the_items_name() -> None:
    with pytest.raises(RecurError, match=r"work\[seed=1 0\] failed: ZeroDivisionError: boom 0$"):
        RayBackend(CPU).map(crash, items(1), names=names(1), progress=lambda _: None)


def test_device_work_runs_on_one_lasting_actor_a_gpu() -> None:
    backend = RayBackend(GPU)
    first = backend.map(visible_gpus, items(4), names=names(4), progress=lambda _: None, on_device=True)
    again = backend.map(visible_gpus, items(4), names=names(4), progress=lambda _: None, on_device=True)
    assert len(set(first)) == 2
    assert {line.split()[1] for line in first} == {"0", "1"}
    assert again == first


def test_with_overlap_the_actors_get_their_gpus_together() -> None:
    one, other = (RayBackend(replace(GPU, overlap=True)) for _ in range(2))
    first = one.map(visible_gpus, items(4), names=names(4), progress=lambda _: None, on_device=True)
    assert len(set(first)) == 2
    other._pool(2)
    time.sleep(1.0)
    assert ray.available_resources().get("GPU", 0.0) == 0.0
    states = {group["state"] for group in ray.util.placement_group_table().values() if group["state"] != "REMOVED"}
    assert states == {"CREATED", "PENDING"}, "the second seed holds none while it waits"
    ray.util.remove_placement_group(one._gpus)
    later = other.map(visible_gpus, items(2), names=names(2), progress=lambda _: None, on_device=True)
    assert len(set(later)) == 2
    ray.util.remove_placement_group(other._gpus)


def test_tasks_run_beside_the_actors_where_the_workers_had_every_core() -> None:
    backend = RayBackend(replace(GPU, fanout_cpus=2))
    backend.map(visible_gpus, items(2), names=names(2), progress=lambda _: None, on_device=True)
    assert backend.map(double, items(3), names=names(3), progress=lambda _: None) == [0, 3, 6]


def test_with_overlap_no_more_tasks_are_started_than_fit_beside_the_workers(tmp_path: Path) -> None:
    backend = RayBackend(replace(GPU, workers=1, overlap=True))  # two CPUs, one of them a worker's
    assert backend.map(alone, items(3, tmp_path), names=names(3), progress=lambda _: None) == [True] * 3


def test_an_item_whose_actor_does_not_come_back_is_run_by_another_one(tmp_path: Path) -> None:
    backend = RayBackend(GPU)
    done = backend.map(die_three_times, items(4, tmp_path), names=names(4), progress=lambda _: None, on_device=True)
    assert done == [0, 1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 3  # Ray starts an actor again once
