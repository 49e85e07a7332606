"""What the nodes allow: slots, the profile `auto` means, and the line for what can never be placed."""

from __future__ import annotations

import pytest

from cluster.resources import Node, choose_profile, fitted, placement_note, seed_slots, spare_cpus, with_world
from recur.checks import check_recipe
from recur.config import ClusterConfig
from recur.errors import PlacementError, RecipeError
from recur.recipe import load_recipe

LAPTOP = Node(name="laptop", cpus=8, gpus=0)
H100 = Node(name="h100", cpus=96, gpus=8)
GPU_SEED = ClusterConfig()


def test_a_node_with_eight_gpus_is_our_record_recipe() -> None:
    choice = choose_profile([LAPTOP, H100])
    assert (choice.profile, choice.note) == ("recur", "")
    assert choice.overrides == ("cluster.workers=8", "cluster.cpus_per_worker=4")
    assert "h100 has 8 GPUs" in choice.why
    assert placement_note(load_recipe(choice.profile, choice.overrides)) == ""


@pytest.mark.parametrize(("gpus", "world"), [(1, 1), (2, 2), (3, 2), (4, 4), (7, 4)])
def test_fewer_gpus_keep_the_recipe_with_a_world_size_that_divides_it(gpus: int, world: int) -> None:
    choice = choose_profile([Node(name="box", cpus=6, gpus=gpus)])
    recipe = load_recipe(choice.profile, choice.overrides)
    check_recipe(recipe)
    assert (recipe.profile, recipe.cluster.workers) == ("recur", world)
    assert recipe.cluster.workers * recipe.cluster.cpus_per_worker <= 6
    assert choice.note == "not a record placement"
    assert placement_note(recipe) == choice.note


@pytest.mark.parametrize(("gpus", "each", "fisher"), [(8, 8, 4), (4, 16, 8), (2, 32, 16), (1, 64, 32)])
def test_calibration_keeps_its_total_over_any_number_of_ranks(gpus: int, each: int, fisher: int) -> None:
    choice = choose_profile([Node(name="box", cpus=64, gpus=gpus)])
    quantize = load_recipe(choice.profile, choice.overrides).quantize
    assert (quantize.calibration_batches, quantize.fisher_batches) == (each, fisher)


def test_calibration_of_one_ranks_share_is_left_alone() -> None:
    assert with_world(load_recipe("record_1421"), 2) == ("cluster.workers=2",)
    assert "calibration" not in " ".join(with_world(load_recipe("recur"), 8))


def test_a_share_that_does_not_divide_is_rounded_up() -> None:
    recipe = load_recipe("recur", ["quantize.calibration_batches=3", "cluster.workers=2", "quantize.fisher_batches=1"])
    assert with_world(recipe, 4) == ("cluster.workers=4", "quantize.calibration_batches=2", "quantize.fisher_batches=1")


def test_a_recipe_without_gpus_is_fitted_to_no_node_and_none_to_a_laptop() -> None:
    assert fitted(load_recipe("smoke_recur"), [H100]) == ()
    assert fitted(load_recipe("recur"), [LAPTOP]) == fitted(load_recipe("recur"), []) == ()


def test_no_gpu_is_the_small_recipe_and_so_is_no_node() -> None:
    assert choose_profile([LAPTOP]).profile == "smoke_recur"
    assert choose_profile([]).profile == "smoke_recur"


def test_a_small_recipe_is_no_odd_placement() -> None:
    assert placement_note(load_recipe("smoke_recur")) == ""
    assert placement_note(load_recipe("record_1334", ["cluster.workers=4"])) == "not a record placement"


def test_slots_are_the_nodes_that_hold_a_whole_seed() -> None:
    half = Node(name="half", cpus=96, gpus=4)
    assert seed_slots(GPU_SEED, [H100, half, H100, LAPTOP]) == 2


def test_a_profile_without_gpus_has_the_recipes_slots() -> None:
    cfg = ClusterConfig(workers=2, gpus_per_worker=0, cpus_per_worker=1, backend="gloo", cpu_slots=3)
    assert seed_slots(cfg, [LAPTOP]) == 3


def test_packing_over_nodes_counts_them_together() -> None:
    cfg = ClusterConfig(placement="PACK")
    halves = [Node(name=f"half{i}", cpus=32, gpus=4) for i in range(4)]
    assert seed_slots(cfg, halves) == 2
    with pytest.raises(PlacementError):
        seed_slots(GPU_SEED, halves)


@pytest.mark.parametrize(
    ("nodes", "remedy"),
    [
        ([LAPTOP], "use --profile smoke"),
        ([Node(name="n", cpus=96, gpus=4)], "lower it by --set cluster.workers=N"),
        ([Node(name="n", cpus=4, gpus=8)], "lower it by --set cluster.cpus_per_worker=N"),
        ([], "use --profile smoke"),
    ],
)
def test_what_can_never_be_placed_is_one_line_with_its_remedy(nodes: list[Node], remedy: str) -> None:
    with pytest.raises(PlacementError) as raised:
        seed_slots(GPU_SEED, nodes)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith("cluster.workers=8 (8 GPUs and 32 CPUs a seed) must fit on one node")
    assert remedy in line


def test_too_few_cpus_for_a_cpu_profile_are_refused_too() -> None:
    cfg = ClusterConfig(workers=8, gpus_per_worker=0, cpus_per_worker=2, backend="gloo")
    with pytest.raises(PlacementError, match=r"cluster\.workers=N"):
        seed_slots(cfg, [LAPTOP])


def test_a_task_that_fits_on_no_node_is_refused_before_it_waits_for_ever() -> None:
    cfg = ClusterConfig(workers=2, gpus_per_worker=0, cpus_per_worker=1, fanout_cpus=4, backend="gloo")
    nodes = [Node(name="a", cpus=2, gpus=0), Node(name="b", cpus=3, gpus=0)]
    with pytest.raises(PlacementError, match=r"^cluster\.fanout_cpus=4 must fit on one node \(the largest has 3 CPUs\)"):
        seed_slots(cfg, nodes)


def test_with_overlap_a_seed_needs_a_core_beside_its_workers_and_other_nodes_do_not_count() -> None:
    cfg, tight = ClusterConfig(overlap=True, fanout_cpus=2), Node(name="tight", cpus=33, gpus=8)
    nodes = [H100, tight, LAPTOP, Node(name="small", cpus=40, gpus=8)]
    assert (seed_slots(cfg, nodes), spare_cpus(cfg, nodes)) == (2, 8)
    assert (seed_slots(GPU_SEED, nodes), spare_cpus(GPU_SEED, [LAPTOP])) == (3, 0)
    with pytest.raises(
        PlacementError, match=r"8 GPUs and 34 CPUs a seed\) must fit on one node .*; lower it by --set cluster.cpus_per"
    ):
        seed_slots(cfg, [tight])


@pytest.mark.parametrize("overrides", [("smoke", []), ("recur", ["cluster.placement=PACK"])])
def test_overlap_is_for_seeds_with_the_gpus_of_one_node(overrides: tuple[str, list[str]]) -> None:
    profile, others = overrides
    with pytest.raises(RecipeError, match=r"^cluster\.overlap=true needs GPUs and placement STRICT_PACK"):
        load_recipe(profile, ["cluster.overlap=true", *others])
