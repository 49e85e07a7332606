"""`--beside`: the second sweep's profile, name and order, checked before the first job; no cluster is needed here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster import beside, request
from cluster.beside import check_beside, prepare_beside
from cluster.request import Order, Prepared, check_order, prepare_sweep
from cluster.resources import Node
from cluster.session import Session
from recur.data.dataset import Dataset
from recur.errors import DataError, InputError, RecipeError, StorageError
from tests.cluster.kit import WORKERS
from tests.recipes import TINY

SESSION = Session(
    dashboard="http://none", working_dir="gcs://x", started_here=False, in_job=False, own_token=False, metrics=None, gcs="h:1"
)  # fmt: skip
LAPTOP, FOUR = Node(name="laptop", cpus=2, gpus=0), Node(name="four", cpus=16, gpus=4)


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The nodes of a cluster that is not there; a test may change them."""
    there = [LAPTOP]
    for module in (request, beside):
        monkeypatch.setattr(module, "alive_nodes", lambda: there)
    monkeypatch.setattr(request, "check_shared", lambda out: None)
    return there


@pytest.fixture
def order(tmp_path: Path, tiny_dataset: Dataset) -> Order:
    return Order(
        profile="auto",
        overrides=(*TINY, *WORKERS),
        seeds=(3, 1),
        data=tiny_dataset.root,
        out=tmp_path / "out",
        sweep="mine",
        beside="auto",
    )


def both(order: Order) -> tuple[Prepared, Prepared | None, list[str]]:
    said: list[str] = []
    checked = check_order(order)
    check_beside(checked)
    first = prepare_sweep(checked, SESSION, said.append)
    return first, prepare_beside(checked, first, SESSION, said.append), said


def spec(order: Order, sweep: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((Path(str(order.out)) / sweep / "sweep_spec.json").read_text())
    return found


def test_auto_is_the_faithful_twin_with_the_same_seeds_data_and_overrides(order: Order) -> None:
    first, second, _ = both(order)
    assert second is not None
    mine, other = first.plan.template, second.plan.template
    assert (mine.recipe.profile, other.recipe.profile) == ("smoke_recur", "smoke")
    assert (second.plan.sweep, second.plan.seeds, second.resuming) == ("mine-beside", (3, 1), False)
    assert (other.dataset_root, other.recipe.train.steps) == (mine.dataset_root, 6)
    assert spec(order, "mine-beside")["seeds"] == [3, 1]


def test_auto_runs_nothing_beside_another_profile_and_says_so(order: Order) -> None:
    _, second, said = both(replace(order, profile="smoke"))
    assert second is None
    assert said[-1] == "beside auto: none is run beside smoke; name one by --beside NAME"


def test_without_the_flag_there_is_no_second_sweep(order: Order) -> None:
    assert both(replace(order, beside=None))[1] is None


def test_a_named_profile_or_file_can_run_beside_any(order: Order, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('extends = "smoke"\n[optim]\nmatrix_lr = 0.5\n')
    _, second, _ = both(replace(order, profile="smoke", beside=str(path)))
    assert second is not None
    assert (second.plan.template.recipe.profile, second.plan.template.recipe.optim.matrix_lr) == ("other", 0.5)


def test_under_auto_a_twin_for_gpus_is_fitted_to_the_node(order: Order, nodes: list[Node]) -> None:
    nodes[:] = [FOUR]
    _, second, said = both(replace(order, overrides=(*TINY[:-1], "train.micro_batches=8"), beside="record_1421"))
    assert second is not None
    cluster = second.plan.template.recipe.cluster
    assert (cluster.workers, cluster.cpus_per_worker, second.plan.template.note) == (4, 4, "not a record placement")
    assert said[0].startswith("profile auto -> recur: node four has 4 GPUs: world size 4")


def test_both_sweeps_are_resumed(order: Order) -> None:
    first, second, _ = both(order)
    again = replace(order, sweep=None, resume="mine", seeds=None)
    for wanted in (again, replace(again, overrides=(), data=None), replace(again, overrides=(), data=None, beside="smoke")):
        one, two, _ = both(wanted)
        assert two is not None and second is not None
        assert (one.plan, one.resuming) == (first.plan, True)
        assert (two.plan, two.resuming) == (second.plan, True)


def test_a_first_sweep_that_ran_alone_can_be_resumed_with_one_beside_it(order: Order) -> None:
    first, _, _ = both(replace(order, beside=None))
    _, second, _ = both(replace(order, sweep=None, resume="mine", seeds=None, data=None))
    assert second is not None and not second.resuming
    assert second.plan.template.dataset_root == first.plan.template.dataset_root
    assert second.plan.seeds == (3, 1)


def test_another_recipe_than_the_interrupted_second_sweep_is_refused(order: Order) -> None:
    both(order)
    again = replace(order, sweep=None, resume="mine", seeds=None, beside="record_1334")
    with pytest.raises(InputError):
        both(again)


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"beside": "smokey"}, RecipeError, "did you mean 'smoke'?"),
        ({"profile": "smoke", "beside": "smoke"}, InputError, "is the sweep's own profile smoke"),
        ({"sweep": "x" * 50}, InputError, "use a shorter --sweep"),
        ({"overrides": (), "beside": "smoke"}, DataError, "vocab_size=512 must be model.vocab_size=1024"),
    ],
)
def test_what_is_wrong_with_it_is_told_without_a_cluster(
    order: Order, fields: dict[str, str], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as raised:
        check_beside(check_order(replace(order, **fields)))  # type: ignore[arg-type]
    assert told in str(raised.value)


def test_the_own_profile_is_refused_under_auto_too(order: Order) -> None:
    with pytest.raises(InputError, match="own profile smoke_recur"):
        both(replace(order, beside="smoke_recur"))


def test_an_existing_second_sweep_is_not_overwritten(order: Order) -> None:
    folder = Path(str(order.out)) / "mine-beside"
    folder.mkdir(parents=True)
    (folder / "sweep_spec.json").write_text("{}")
    with pytest.raises(StorageError, match="exists already"):
        check_beside(check_order(order))
