"""What a sweep needs before its first seed: the dataset, the bytes of its program, its spec on disk.

Used by the command line (`cluster.request`) and, in a process of its own, by the service: `prepare_request` reads a
request.json that holds nothing but checked values, and writes sweep_spec.json whole. Doing it twice does no
harm; what an earlier program has prepared is prepared again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.resources import placement_note
from cluster.storage import check_room, check_writable
from recur.config import Recipe
from recur.data.corpus import prepare
from recur.data.dataset import Dataset, check_lengths
from recur.errors import ArtifactError, DataError
from recur.recipe import fingerprint, recipe_from_json, recipe_to_json, source_sha256
from recur.record.atomic import read_json, write_json_atomic
from recur.record.bundle import with_code_bytes
from recur.seedspec import SWEEP_SPEC_FILE, SeedSpec, program_of


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the service asks to be prepared; ``out`` is the folder above the sweep's."""

    sweep: str
    seeds: tuple[int, ...]
    recipe: Recipe
    out: Path


def prepare_request(path: Path) -> Path:
    """Prepare the sweep of ``<out>/<sweep>/request.json``; the path of its sweep_spec.json.

    Raises:
        InputError: the user's to mend: data that is not there, no room, a recipe that does not fit the data.
        RecurError: it could not be done.
    """
    request, spec = read_request(path), path.with_name(SWEEP_SPEC_FILE)
    if spec.exists() and program_of(spec) in (None, source_sha256()):
        return spec
    check_writable(request.out)
    recipe = with_code_bytes(request.recipe)
    check_room(request.out, recipe, len(request.seeds))
    dataset = make_dataset(request.out, recipe)
    check_dataset(dataset, recipe)
    template = SeedSpec(
        sweep=request.sweep,
        seed=0,
        attempt=0,
        recipe=recipe,
        dataset_root=dataset.root,
        out=request.out,
        note=placement_note(recipe),
    )
    write_sweep_spec(template, request.seeds, fingerprint(recipe, dataset.sha256))
    return spec


def read_request(path: Path) -> Request:
    """The request.json at ``path``.

    Raises:
        ArtifactError: there is none, or it is not one.
        RecipeError: its recipe is not one.
    """
    remedy = "let the service write it: request.json in the sweep's folder"
    if not path.is_file():
        raise ArtifactError(str(path), "does not exist", remedy)
    try:
        told: Any = read_json(path)
        sweep, seeds, recipe = str(told["sweep"]), tuple(int(seed) for seed in told["seeds"]), json.dumps(told["recipe"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(str(path), f"is not a request ({error!r})", remedy) from error
    folder = path.resolve().parent
    if sweep != folder.name:
        raise ArtifactError(f"{path} of sweep {sweep}", f"must be of the sweep {folder.name} whose folder it is in", remedy)
    return Request(sweep=sweep, seeds=seeds, recipe=recipe_from_json(recipe), out=folder.parent)


def make_dataset(out: Path, recipe: Recipe, *, docs: Sequence[str] = (), tokenizer: Path | None = None) -> Dataset:
    """The dataset of a recipe, made (or found) below the output folder.

    Raises:
        DataError: its text or tokenizer cannot be used.
    """
    return prepare(
        recipe.data,
        recipe.model.vocab_size,
        out_root=out / "datasets",
        docs=docs,
        tokenizer=tokenizer,
        train_seq_len=recipe.model.train_seq_len,
    )


def check_dataset(dataset: Dataset, recipe: Recipe) -> None:
    """Refuse a dataset of another vocabulary or shorter than a window.

    Raises:
        DataError: as said.
    """
    if dataset.vocab_size != recipe.model.vocab_size:
        rule = f"must be model.vocab_size={recipe.model.vocab_size}"
        remedy = f"add --set model.vocab_size={dataset.vocab_size}, or give another --data"
        raise DataError(f"dataset {dataset.root} vocab_size={dataset.vocab_size}", rule, remedy)
    check_lengths(dataset, max(recipe.model.train_seq_len, recipe.evaluate.seq_len))


def write_sweep_spec(template: SeedSpec, seeds: Sequence[int], identity: str) -> None:
    """Write sweep_spec.json, by which a sweep is known to everybody who comes later.

    Args:
        template: any seed's spec; seed and attempt do not count.
        seeds: of the sweep, in order.
        identity: its fingerprint.

    Raises:
        StorageError: the disk is full or not writable.
    """
    spec = {
        "sweep": template.sweep,
        "seeds": list(seeds),
        "fingerprint": identity,
        "source_sha256": source_sha256(),
        "dataset_root": str(template.dataset_root),
        "note": template.note,
        "checkpoints": template.checkpoints,
        "recipe": json.loads(recipe_to_json(template.recipe)),
    }
    write_json_atomic(template.sweep_root / SWEEP_SPEC_FILE, spec)
