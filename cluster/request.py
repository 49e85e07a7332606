"""What a user asks of a sweep, checked: first what needs no cluster, then, once one is joined, the rest.

Everything that can be wrong is found here, before the first job: each is one line with value, rule and remedy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.foresight import foresee
from cluster.naming import check_name, check_seeds, named_profile, new_name
from cluster.outcome import REQUEST_FILE
from cluster.preparing import check_dataset, make_dataset, write_sweep_spec
from cluster.resources import (
    AUTO_WORLDS,
    CPU_PROFILE,
    RECORD_PROFILE,
    Choice,
    alive_nodes,
    choose_profile,
    placement_note,
    seed_slots,
    with_world,
)
from cluster.seats import SweepPlan
from cluster.session import Session, in_ray_job
from cluster.storage import absolute_out, check_room, check_shared, check_storage, check_writable, sole_driver
from recur.config import Recipe
from recur.data.dataset import Dataset, load_dataset
from recur.errors import DataError, InputError, RecipeError, StorageError
from recur.recipe import fingerprint, load_recipe, override, recipe_from_json
from recur.record.atomic import read_json
from recur.record.attempt import seed_folder
from recur.record.bundle import with_code_bytes
from recur.record.folder import About
from recur.record.result import Phase
from recur.seedspec import SWEEP_SPEC_FILE, SeedSpec

AUTO = "auto"
DEFAULT_SEEDS = (42, 1337, 2024)
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """The values of the command line; None means not given."""

    profile: str = AUTO
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    docs: tuple[str, ...] = ()
    data: Path | None = None
    tokenizer: Path | None = None
    out: Path | None = None
    address: str | None = None
    resume: str | None = None
    sweep: str | None = None
    beside: str | None = None
    checkpoints: str | None = None
    about: About = field(default_factory=About)

    @property
    def all_overrides(self) -> tuple[str, ...]:
        """``--set`` values; documents imply that the data source is documents."""
        return (*self.overrides, "data.source=docs") if self.docs else self.overrides


@dataclass(frozen=True, kw_only=True)
class Checked:
    """An order as far as it can be checked without a cluster."""

    order: Order
    out: Path
    recipe: Recipe | None
    dataset: Dataset | None
    stored: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep that can start."""

    plan: SweepPlan
    fingerprint: str
    resuming: bool


def check_order(order: Order) -> Checked:
    """Check all that needs no cluster; makes the output folder.

    Raises:
        InputError: the first thing that is wrong.
    """
    recipe = None if order.profile == AUTO else load_recipe(named_profile(order.profile), order.all_overrides)
    if recipe is None:
        _check_overrides(order.all_overrides)
    check_seeds(order.seeds or DEFAULT_SEEDS)
    order.about.check()
    out = absolute_out(order.out, Path.home(), in_job=in_ray_job())
    for name in (order.sweep, order.resume):
        if name is not None:
            check_name(name, order.seeds or DEFAULT_SEEDS)
    check_writable(out)
    stored = _read_stored(out, order) if order.resume is not None else None
    if stored is None and order.sweep is not None:
        _check_new(out / order.sweep)
    if order.docs and order.data:
        raise DataError("--docs with --data", "name two sources of text", "give one of them")
    dataset = load_dataset(order.data.expanduser().resolve()) if order.data else None
    if dataset and recipe:
        check_dataset(dataset, recipe)
    checked = Checked(order=order, out=out, recipe=recipe, dataset=dataset, stored=stored)
    _seeds(checked)
    return checked


def _check_overrides(overrides: Sequence[str]) -> None:
    """Refuse, before a cluster is asked, what nothing that `auto` may come to would take."""
    whole = load_recipe(RECORD_PROFILE)
    fits = [(RECORD_PROFILE, with_world(whole, world)) for world in AUTO_WORLDS]
    refused: RecipeError | None = None
    for profile, fitted in ((CPU_PROFILE, ()), *fits):
        try:
            load_recipe(profile, (*fitted, *overrides))
        except RecipeError as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


def prepare_sweep(checked: Checked, session: Session, say: Say) -> Prepared:
    """With a cluster joined: choose the profile, check that it fits, prepare the data, write the sweep's spec.

    Raises:
        InputError: the user's to mend.
    """
    order, nodes = checked.order, alive_nodes()
    choice = choose_profile(nodes) if order.profile == AUTO else None
    recipe = with_code_bytes(_recipe(checked, choice, say))
    slots = seed_slots(recipe.cluster, nodes)
    seeds = _seeds(checked)
    root = checked.out / order.resume if order.resume else None
    check_room(checked.out, recipe, len(seeds) - _begun(root, seeds), elsewhere=_checkpoints(checked, recipe) != "")
    check_shared(checked.out)
    dataset = _dataset(checked, recipe, say)
    sweep = order.resume or order.sweep or new_name(recipe.profile)
    check_name(sweep, seeds)
    template = SeedSpec(
        sweep=sweep,
        seed=0,
        attempt=0,
        recipe=recipe,
        dataset_root=dataset.root,
        out=checked.out,
        note=placement_note(recipe),
        checkpoints=_checkpoints(checked, recipe),
    )
    environment: dict[str, object] = {"working_dir": session.working_dir, "env_vars": session.job_environment()}
    plan = SweepPlan(template=template, seeds=seeds, slots=slots, runtime_env=environment)
    identity = fingerprint(recipe, dataset.sha256)
    _settle(plan, identity, checked.stored)
    say(f"sweep {sweep}: {len(seeds)} seeds, {slots} at a time, results in {plan.root}")
    say(foresee(checked.out, recipe, len(seeds)))
    return Prepared(plan=plan, fingerprint=identity, resuming=checked.stored is not None)


def _recipe(checked: Checked, choice: Choice | None, say: Say) -> Recipe:
    order = checked.order
    if checked.stored is not None and choice is not None and not order.all_overrides:
        recipe = recipe_from_json(json.dumps(checked.stored["recipe"]))
    elif choice is not None:
        recipe = load_recipe(choice.profile, (*choice.overrides, *order.all_overrides))
        say(f"profile auto -> {choice.profile}: {choice.why}")
    else:
        recipe = checked.recipe or load_recipe(named_profile(order.profile), order.all_overrides)
    return recipe


def _checkpoints(checked: Checked, recipe: Recipe) -> str:
    """Where research mode keeps its checkpoints; "" for the sweep's own folder."""
    given = checked.order.checkpoints
    if given is None:
        return str((checked.stored or {}).get("checkpoints", ""))
    if recipe.mode != "research":
        raise InputError(f"--checkpoints {given}", "is for research mode: a record is never resumed", "add --set mode=research")
    place = given if "://" in given else str(Path(given).expanduser().absolute())
    check_storage(place)
    return place


def _seeds(checked: Checked) -> tuple[int, ...]:
    given = checked.order.seeds
    if checked.stored is None:
        return given or DEFAULT_SEEDS
    stored = tuple(int(seed) for seed in checked.stored["seeds"])
    if given is not None and given != stored:
        rule = f"must be the sweep's {','.join(map(str, stored))}"
        raise InputError(f"--seeds {','.join(map(str, given))}", rule, "leave it away with --resume")
    return stored


def _dataset(checked: Checked, recipe: Recipe, say: Say) -> Dataset:
    """The dataset given, that of the interrupted sweep, or one made (or found) below the output folder."""
    order = checked.order
    if checked.stored is not None and not order.data and not order.docs:
        dataset = load_dataset(Path(checked.stored["dataset_root"]))
    elif checked.dataset is not None:
        dataset = checked.dataset
    else:
        docs = [str(Path(pattern).expanduser().absolute()) for pattern in order.docs]
        dataset = make_dataset(checked.out, recipe, docs=docs, tokenizer=order.tokenizer)
    check_dataset(dataset, recipe)
    held = f"{dataset.train_tokens:,} training and {dataset.val_tokens:,} validation tokens"
    say(f"data {dataset.root}: {held}, {dataset.val_text_bytes:,} bytes scored")
    return dataset


def _begun(root: Path | None, seeds: Sequence[int]) -> int:
    """Seeds of a resumed sweep whose training lies on the disk already: what they take is not needed a second time."""
    trained = f"a*/record_{Phase.TRAIN.value}.json"
    return sum(1 for seed in seeds if any(seed_folder(root, seed).glob(trained))) if root else 0


def _check_new(root: Path) -> None:
    if (root / SWEEP_SPEC_FILE).exists():
        raise StorageError(f"sweep {root}", "exists already", f"add --resume {root.name}, or another --sweep")


def _settle(plan: SweepPlan, identity: str, stored: dict[str, Any] | None) -> None:
    """Write the sweep's spec, unless another driver was first; of a resumed one, see that it is still the same run."""
    if stored is None:
        with sole_driver(plan.root):
            _check_new(plan.root)
            write_sweep_spec(plan.template, plan.seeds, identity)
    elif identity != stored["fingerprint"]:
        rule = f"must be the sweep's {str(stored['fingerprint'])[:12]}: recipe, data or code have changed since it began"
        raise RecipeError(f"--resume {plan.sweep} with fingerprint {identity[:12]}", rule, "start a new sweep")


def _read_stored(out: Path, order: Order) -> dict[str, Any]:
    path = out / str(order.resume) / SWEEP_SPEC_FILE
    known = ", ".join(sorted(p.parent.name for p in out.glob(f"*/{SWEEP_SPEC_FILE}"))[-5:]) or "none"
    if not path.exists():
        raise InputError(f"--resume {order.resume}", f"is not a sweep in {out}", f"newest there: {known}")
    theirs = path.with_name(REQUEST_FILE)
    if theirs.exists():
        remedy = f"recur sweep retry {order.resume}; or, if that service is gone for good, remove {theirs}"
        raise InputError(f"--resume {order.resume}", "belongs to a sweep service, which runs its seeds itself", remedy)
    found = read_json(path)
    wanted = {"seeds", "fingerprint", "dataset_root", "recipe"}
    if not isinstance(found, dict) or not wanted <= set(found):
        raise InputError(str(path), "is not a sweep's spec", "start a new sweep")
    return found


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One seed that can start in this process."""

    spec: SeedSpec
    dataset_sha256: str


def alone(order: Order, say: Say) -> Alone:
    """Check and prepare one seed without a cluster.

    Raises:
        InputError: the user's to mend.
    """
    checked = check_order(replace(order, sweep=None))
    whole = load_recipe(named_profile(order.profile), order.all_overrides)
    recipe = with_code_bytes(override(whole, with_world(whole, 1)))
    seed = _seeds(checked)[0]
    check_room(checked.out, recipe, 1)
    dataset = _dataset(checked, recipe, say)
    sweep = order.sweep or new_name(recipe.profile)
    check_name(sweep, (seed,))
    spec = SeedSpec(sweep=sweep, seed=seed, attempt=1, recipe=recipe, dataset_root=dataset.root, out=checked.out)
    _settle_alone(spec, fingerprint(recipe, dataset.sha256))
    return Alone(spec=spec, dataset_sha256=dataset.sha256)


def _settle_alone(spec: SeedSpec, identity: str) -> None:
    """Write the spec of a sweep of one seed; one of this name that was begun is gone on with if it is the same."""
    path = spec.sweep_root / SWEEP_SPEC_FILE
    with sole_driver(spec.sweep_root):
        if not path.exists():
            write_sweep_spec(spec, (spec.seed,), identity)
            return
        stored = read_json(path)
    if not isinstance(stored, dict) or (stored.get("seeds"), stored.get("fingerprint")) != ([spec.seed], identity):
        rule = "was begun with another seed, recipe, data or code"
        raise RecipeError(f"--sweep {spec.sweep}", rule, "give another --sweep")
