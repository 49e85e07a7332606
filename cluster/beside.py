"""``--beside``: which profile the second sweep has, what it is called, and its preparation.

The second sweep is the same order with another profile: same seeds, data options, overrides and Ray session, a folder of
its own that is named after the first. It is prepared before the first job of either, so that what is wrong with it is told then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from cluster.naming import check_name, named_profile
from cluster.preparing import check_dataset
from cluster.request import (
    AUTO,
    DEFAULT_SEEDS,
    Checked,
    Order,
    Prepared,
    check_order,
    prepare_sweep,
)
from cluster.resources import alive_nodes, fitted
from cluster.session import Session
from recur.errors import InputError, StorageError
from recur.recipe import load_recipe
from recur.seedspec import SWEEP_SPEC_FILE

FAITHFUL_TWINS = {"smoke_recur": "smoke"}
"""What ``--beside auto`` runs. A profile for GPUs has none here: it would double the cost of a record unasked."""
SUFFIX = "-beside"


def check_beside(checked: Checked) -> None:
    """Check all of the second sweep that needs no cluster.

    Raises:
        InputError: the first thing that is wrong.
    """
    order = checked.order
    if order.beside is None:
        return
    if order.beside != AUTO:
        twin = load_recipe(named_profile(order.beside), order.all_overrides)
        if checked.recipe is not None:
            _check_other(order.beside, twin.profile, checked.recipe.profile)
        if checked.dataset is not None:
            check_dataset(checked.dataset, twin)
    for name in (order.sweep, order.resume):
        if name is not None:
            check_name(name + SUFFIX, order.seeds or DEFAULT_SEEDS)
    if order.sweep is not None and (checked.out / (order.sweep + SUFFIX) / SWEEP_SPEC_FILE).exists():
        raise StorageError(f"sweep {checked.out / order.sweep}{SUFFIX}", "exists already", "give another --sweep")


def prepare_beside(checked: Checked, first: Prepared, session: Session, say: Callable[[str], None]) -> Prepared | None:
    """The second sweep, ready to start or to be resumed; None where the order asks for none.

    Raises:
        InputError: the user's to mend.
    """
    asked, profile = checked.order.beside, first.plan.template.recipe.profile
    if asked is None:
        return None
    twin = FAITHFUL_TWINS.get(profile) if asked == AUTO else asked
    if twin is None:
        say(f"beside auto: none is run beside {profile}; name one by --beside NAME")
        return None
    _check_other(twin, load_recipe(named_profile(twin)).profile, profile)
    return prepare_sweep(check_order(_order(checked, first, twin)), session, say)


def _order(checked: Checked, first: Prepared, twin: str) -> Order:
    """The same order for the other profile; goes on where that sweep has begun."""
    order, name = checked.order, first.plan.sweep + SUFFIX
    found = _stored_profile(checked, name)
    second = replace(order, seeds=first.plan.seeds, beside=None, sweep=None if found else name, resume=name if found else None)
    if checked.stored is not None and not order.data and not order.docs:
        second = replace(second, data=first.plan.template.dataset_root)  # what the first was begun with
    if order.profile != AUTO:
        return replace(second, profile=twin)
    whole = load_recipe(named_profile(twin), order.overrides)
    if found == whole.profile and not order.all_overrides:
        return second  # as the first: an interrupted sweep knows its recipe
    return replace(second, profile=twin, overrides=(*fitted(whole, alive_nodes()), *order.overrides))


def _stored_profile(checked: Checked, name: str) -> str | None:
    path = checked.out / name / SWEEP_SPEC_FILE
    if checked.stored is None or not path.exists():
        return None
    return str(json.loads(path.read_text())["recipe"]["profile"])


def _check_other(asked: str, twin: str, profile: str) -> None:
    if twin == profile:
        raise InputError(f"--beside {asked}", f"is the sweep's own profile {profile}", "name another, or leave it away")
