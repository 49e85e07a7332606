"""A bit flipped, a file cut or emptied, a checksum forged around a wrong length: refused with the file's name, whichever it is.

Checkpoints of research mode, what training left, the artifact, the shards, the result and the other records: each as it is
read by whoever takes it up next.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from cluster.seal import SEALED, check_seal, write_seal
from recur.data.corpus import prepare
from recur.data.dataset import load_dataset, verify_dataset
from recur.data.staging import MANIFEST
from recur.errors import ArtifactError, DataError
from recur.pipeline import LocalBackend, run_seed
from recur.pipeline.training import checkpoint_store, train_attempt
from recur.record.result import Phase
from recur.seedspec import SeedSpec
from recur.train.ranks import Ranks
from tests.api.volume import measured
from tests.recipes import tiny_recipe

KINDS = ("flip", "cut", "empty", "forge")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file, how it is read, and where its hash is kept."""

    kind: str
    path: Path
    read: Callable[[], object]
    record: Path | None
    again: Callable[[], object] | None = None
    """Reads it with its record, where ``read`` keeps that."""


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Target]:
    """Every file of a finished research seed, of its data, and of one that is being trained."""
    out = tmp_path_factory.mktemp("corruption")
    recipe = tiny_recipe("mode=research", "train.checkpoint_every_s=0", "train.peak_tflops=1.0")
    data = prepare(recipe.data, recipe.model.vocab_size, out_root=out / "data", train_seq_len=recipe.model.train_seq_len)
    spec = SeedSpec(sweep="swp", seed=3, attempt=1, recipe=recipe, dataset_root=data.root, out=out)
    run_seed(spec, LocalBackend())
    attempt = spec.attempt_dir
    write_seal(attempt)
    cut_off = replace(spec, attempt=2)
    cut_off.attempt_dir.create()
    train_attempt(cut_off, ranks=Ranks(), device=torch.device("cpu"))  # without its record: the checkpoints stay
    store = checkpoint_store(spec, data, 1)
    step = store.steps()[-1]
    folder = Path(store.storage.base) / f"step_{step:08d}"
    found = [
        Target(kind="checkpoint", path=folder / name, read=lambda: store.read(step, 0), record=record)
        for name, record in (("rank_0.safetensors", folder / "rank_0.json"), ("rank_0.json", None))
    ]
    for kind, phase, names in (
        ("trained", Phase.TRAIN, ("ema.safetensors", "hessians.safetensors", "train.json")),
        ("artifact", Phase.FIT, ("artifact.ptz",)),
    ):
        record = attempt.path(f"record_{phase.value}.json")
        found += [
            Target(kind=kind, path=attempt.path(name), read=lambda p=phase: attempt.read_record(p), record=record)  # type: ignore[misc]
            for name in names
        ]
    found += [
        Target(kind="result", path=attempt.path(name), read=lambda: check_seal(attempt), record=attempt.path("seal.json"))
        for name in SEALED
        if attempt.path(name).exists()
    ]
    shards = [shard.file for shard in (*data.train, *data.val)]
    manifest, again = data.root / MANIFEST, lambda: verify_dataset(load_dataset(data.root))
    found += [
        Target(kind="shard", path=data.root / name, read=lambda: verify_dataset(data), record=manifest, again=again)
        for name in shards
    ]
    for target in found:
        target.read()
    return found


def damaged(blob: bytes, how: str, rng: random.Random) -> bytes:
    """One bit flipped, an end cut off, or nothing left."""
    if how == "flip":
        changed = bytearray(blob)
        changed[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    return b"" if how == "empty" else blob[: rng.randrange(1, len(blob))]


def forge(record: Path, before: bytes, after: bytes) -> None:
    """Put the hash of a changed file where that of the true one stands; the lengths stay."""
    old, new = (hashlib.sha256(blob).hexdigest() for blob in (before, after))
    text = record.read_text()
    assert old in text, record
    if record.name == "rank_0.json":  # it carries its own hash too
        content = json.loads(text)["content"].replace(old, new)
        text = json.dumps({"sha256": hashlib.sha256(content.encode()).hexdigest(), "content": content})
    record.write_text(text.replace(old, new))


def test_every_damage_is_refused_with_the_name_of_the_file(targets: Sequence[Target]) -> None:
    total, rng, refused = 1000, random.Random(6), dict.fromkeys((t.kind for t in targets), 0)
    kinds = sorted(refused)
    for case in range(total):
        kind = kinds[case % len(kinds)]
        target = rng.choice([one for one in targets if one.kind == kind])
        how = KINDS[case // len(kinds) % len(KINDS)]
        before = target.path.read_bytes()
        record = target.record.read_bytes() if target.record else b""
        after = damaged(before, how, rng)
        target.path.write_bytes(after)
        if how == "forge" and target.record is not None:
            forge(target.record, before, after)
        with pytest.raises((ArtifactError, DataError)) as error:
            (target.again or target.read)() if how == "forge" else target.read()
        assert target.path.name in str(error.value), (target, how, str(error.value))
        assert "\n" not in str(error.value)
        refused[kind] += 1
        target.path.write_bytes(before)
        if target.record is not None:
            target.record.write_bytes(record)
    for target in targets:
        target.read()
    measured("corruption", {"cases": total, "refused": sum(refused.values()), **refused})
