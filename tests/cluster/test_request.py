"""What is wrong with an order is one line before the first job; what only a cluster can tell is asked of a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from cluster.naming import check_name, check_seeds
from cluster.preparing import check_dataset
from cluster.request import Order, alone, check_order, prepare_sweep
from cluster.session import Session
from cluster.storage import check_shared
from recur.data.dataset import Dataset
from recur.errors import DataError, InputError, PlacementError, RecipeError, StorageError
from recur.record.atomic import write_json_atomic
from recur.record.folder import About
from tests.cluster.kit import WORKERS
from tests.recipes import TINY, tiny_recipe

SESSION = Session(
    dashboard="http://none",
    working_dir="gcs://x",
    started_here=False,
    in_job=False,
    own_token=False,
    metrics=None,
    gcs="h:1",
)


@pytest.fixture(scope="module")
def small_ray() -> Iterator[None]:
    """Two CPUs, no dashboard: enough to ask about nodes."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    patch.undo()


def order(tmp_path: Path, **fields: object) -> Order:
    base = Order(profile="smoke", overrides=(*TINY, *WORKERS), seeds=(42,), out=tmp_path / "out")
    return replace(base, **fields)  # type: ignore[arg-type]


def test_a_seed_twice_or_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="names 42 twice"):
        check_seeds((42, 7, 42))
    with pytest.raises(InputError, match="must be from 0"):
        check_seeds((2**32,))


@pytest.mark.parametrize("name", ["../up", "Upper", "a_b", "", "x" * 70, "a/b", ".hidden"])
def test_a_name_that_is_no_job_id_or_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name, (42,))


def test_the_longest_name_leaves_room_for_seed_and_attempt() -> None:
    check_name("x" * 55, (42,))
    with pytest.raises(InputError):
        check_name("x" * 55, (2**32 - 1,))


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"profile": "smokey"}, RecipeError, "did you mean 'smoke'?"),
        ({"overrides": ("train.stepz=3",)}, RecipeError, "is not a key"),
        ({"resume": "nothing"}, InputError, "is not a sweep in"),
        ({"docs": ("a.txt",), "data": Path("d")}, DataError, "two sources"),
        ({"data": Path("/nowhere")}, DataError, "/nowhere"),
        ({"profile": "auto", "overrides": ("train.stepz=3",)}, RecipeError, "is not a key"),
        ({"about": About(baseline_pr=9999)}, InputError, "is not a known line; near: #"),
        ({"about": About(author=" ")}, InputError, "names nobody"),
    ],
)
def test_what_is_wrong_is_found_without_a_cluster(tmp_path: Path, fields: dict[str, object], kind: type, told: str) -> None:
    with pytest.raises(kind, match=None) as raised:
        check_order(order(tmp_path, **fields))
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "overrides", [("train.micro_batches=1",), ("cluster.backend=nccl", "train.micro_batches=4"), ("train.steps=7",)]
)
def test_what_some_machine_would_take_is_left_for_the_cluster_to_judge(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert check_order(order(tmp_path, profile="auto", overrides=overrides)).recipe is None


def test_an_existing_sweep_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "sweep_spec.json").write_text("{}")
    with pytest.raises(StorageError, match="add --resume mine"):
        check_order(order(tmp_path, sweep="mine"))


def test_a_sweep_of_the_service_is_not_driven_beside_it(tmp_path: Path) -> None:
    for name in ("sweep_spec.json", "request.json"):
        write_json_atomic(tmp_path / "out" / "mine" / name, {})
    with pytest.raises(InputError, match="recur sweep retry mine"):
        check_order(order(tmp_path, resume="mine"))


def test_a_dataset_of_another_vocabulary_names_both(tiny_dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"vocab_size=512 must be model\.vocab_size=1024"):
        check_dataset(tiny_dataset, tiny_recipe("model.vocab_size=1024"))


def test_validation_text_shorter_than_one_window_is_refused(tiny_dataset: Dataset) -> None:
    with pytest.raises(DataError, match="shorter than one window"):
        check_dataset(tiny_dataset, tiny_recipe("evaluate.seq_len=65536", "evaluate.val_batch_tokens=65536"))


@pytest.mark.ray
def test_a_prepared_sweep_has_its_plan_and_spec_on_disk(small_ray: None, tmp_path: Path, tiny_dataset: Dataset) -> None:
    said: list[str] = []
    checked = check_order(order(tmp_path, data=tiny_dataset.root, sweep="mine", seeds=(3, 1)))
    prepared = prepare_sweep(checked, SESSION, said.append)
    assert (prepared.plan.seeds, prepared.plan.slots, prepared.resuming) == ((3, 1), 1, False)
    spec = json.loads((tmp_path / "out" / "mine" / "sweep_spec.json").read_text())
    assert (spec["seeds"], spec["fingerprint"]) == ([3, 1], prepared.fingerprint)
    assert any("2 seeds, 1 at a time" in line for line in said)
    environment = prepared.plan.runtime_env["env_vars"]
    assert isinstance(environment, dict)
    assert environment["RAY_TRAIN_ENABLE_STATE_TRACKING"] == "1"
    assert not [name for name in environment if "TOKEN" in name or "KEY" in name]


@pytest.mark.ray
def test_of_two_drivers_with_one_name_the_later_is_refused(small_ray: None, tmp_path: Path, tiny_dataset: Dataset) -> None:
    checked = check_order(order(tmp_path, data=tiny_dataset.root, sweep="mine"))
    late = check_order(order(tmp_path, data=tiny_dataset.root, sweep="mine", seeds=(7,)))
    prepare_sweep(checked, SESSION, lambda _: None)
    with pytest.raises(StorageError, match="exists already; add --resume mine"):
        prepare_sweep(late, SESSION, lambda _: None)
    assert json.loads((tmp_path / "out" / "mine" / "sweep_spec.json").read_text())["seeds"] == [42]


def test_one_seed_alone_goes_on_where_it_was_and_refuses_to_mix_two_runs(tmp_path: Path, tiny_dataset: Dataset) -> None:
    mine = order(tmp_path, data=tiny_dataset.root, sweep="mine")
    first = alone(mine, lambda _: None)
    assert alone(mine, lambda _: None) == first
    for changed in ({"overrides": (*mine.overrides, "train.steps=7")}, {"seeds": (7,)}):
        with pytest.raises(RecipeError, match="another seed, recipe, data or code; give another --sweep"):
            alone(replace(mine, **changed), lambda _: None)
    with pytest.raises(StorageError, match="exists already"):
        check_order(mine)


@pytest.mark.ray
def test_resume_takes_the_stored_seeds_and_refuses_another_recipe(small_ray: None, tmp_path: Path, tiny_dataset: Dataset) -> None:
    first = order(tmp_path, data=tiny_dataset.root, sweep="mine", seeds=(3, 1))
    prepare_sweep(check_order(first), SESSION, lambda _: None)
    again = replace(first, sweep=None, resume="mine", seeds=None)
    resumed = prepare_sweep(check_order(again), SESSION, lambda _: None)
    assert (resumed.plan.seeds, resumed.resuming, resumed.plan.sweep) == ((3, 1), True, "mine")
    by_name = replace(again, profile="auto", overrides=(), data=None)
    assert prepare_sweep(check_order(by_name), SESSION, lambda _: None).plan == resumed.plan
    with pytest.raises(InputError, match="must be the sweep's 3,1"):
        prepare_sweep(check_order(replace(again, seeds=(3,))), SESSION, lambda _: None)
    other = replace(again, overrides=(*again.overrides, "train.steps=7"))
    with pytest.raises(RecipeError, match="have changed since it began"):
        prepare_sweep(check_order(other), SESSION, lambda _: None)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("cluster.gpus_per_worker=1",), "use --profile smoke"),
        (("cluster.cpus_per_worker=9",), "must fit on one node"),
    ],
)
def test_what_no_node_can_hold_ends_before_any_data_is_made(
    small_ray: None, tmp_path: Path, overrides: tuple[str, ...], told: str
) -> None:
    wanted = order(tmp_path, overrides=(*TINY, *WORKERS, *overrides))
    with pytest.raises(PlacementError, match=told):
        prepare_sweep(check_order(wanted), SESSION, lambda _: None)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.ray
def test_auto_says_what_it_chose_and_why(small_ray: None, tmp_path: Path, tiny_dataset: Dataset) -> None:
    said: list[str] = []
    wanted = order(tmp_path, profile="auto", overrides=(*TINY, *WORKERS), data=tiny_dataset.root)
    prepare_sweep(check_order(wanted), SESSION, said.append)
    assert said[0] == "profile auto -> smoke_recur: no node has a GPU (largest: 2 CPUs)"


@pytest.mark.ray
def test_documents_become_the_source_and_too_few_of_them_are_refused(small_ray: None, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("one\n\ntwo\n")
    wanted = order(tmp_path, docs=(str(tmp_path / "few.txt"),))
    assert wanted.all_overrides[-1] == "data.source=docs"
    with pytest.raises(DataError):
        prepare_sweep(check_order(wanted), SESSION, lambda _: None)
    assert not list((tmp_path / "out").glob("datasets/*/dataset.json"))


@pytest.mark.ray
def test_one_node_needs_no_shared_folder(small_ray: None, tmp_path: Path) -> None:
    check_shared(tmp_path)
    assert list(tmp_path.iterdir()) == []
