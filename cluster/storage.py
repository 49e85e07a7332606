"""The output folder: absolute, writable, with room, and the same one on every node. Nothing is left behind by a check."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.lock import sole
from recur.config import ModelConfig, Recipe
from recur.errors import StorageError
from recur.train.resume.storage import open_storage

LOCK_FILE = "driver.lock"
NODE_ANSWER_S = 60.0
"""How long a node may take to answer, its first worker process included."""
_BYTES_PER_PARAMETER = 24
"""EMA weights, Hessians, and what our quantizer prepares of each matrix, in float32, with the artifact: 22 measured."""
_TRAINED_BYTES = 11
"""The part of it that training leaves: EMA weights and Hessians."""
_CHECKPOINT_BYTES, _RANK_BYTES = 13, 5
"""A research checkpoint's bytes a parameter: rank 0's (12.6 measured), and the optimizers of each further rank."""
_BASE_BYTES = 64 << 20
"""Logs, trainer state and plots of one seed."""


def absolute_out(out: Path | None, home: Path, *, in_job: bool) -> Path:
    """The output folder, absolute.

    Raises:
        StorageError: a relative folder inside a Ray job, whose working directory vanishes with it.
    """
    chosen = (out or home / "recur-results").expanduser()
    if in_job and not chosen.is_absolute():
        rule = "is relative, and the working directory of a Ray job vanishes with it"
        raise StorageError(f"--out {chosen}", rule, "give an absolute folder")
    return chosen.resolve()


def check_writable(out: Path) -> None:
    """Make the folder and write in it.

    Raises:
        StorageError: it cannot be made or written.
    """
    marker = out / f".marker-{secrets.token_hex(8)}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        marker.write_text("writable")
        marker.unlink()
    except OSError as error:
        raise StorageError(f"--out {out}", f"is not writable ({error.strerror})", "give a folder that is, by --out") from error


def check_storage(place: str) -> None:
    """Write a file into a folder or an object store, and remove it.

    Raises:
        StorageError: it cannot be reached or written.
    """
    storage, folder = open_storage(place), f"marker-{secrets.token_hex(8)}"
    storage.write(f"{folder}/writable", b"writable")
    storage.delete(folder)


def check_room(out: Path, recipe: Recipe, seeds: int, *, elsewhere: bool = False) -> None:
    """Compare the free space with what ``seeds`` seeds of ``recipe`` take at most.

    Args:
        out: the output folder.
        recipe: of every seed.
        seeds: that have left nothing yet.
        elsewhere: research checkpoints do not lie in ``out``.

    Raises:
        StorageError: too little.
    """
    need = seeds * (_BASE_BYTES + bytes_per_parameter(recipe, elsewhere=elsewhere) * matrix_parameters(recipe.model))
    free = shutil.disk_usage(out).free
    if free < need:
        value = f"--out {out} with {free >> 20} MiB free"
        raise StorageError(value, f"must have {need >> 20} MiB for {seeds} seeds", "free space there or give another --out")


def bytes_per_parameter(recipe: Recipe, *, elsewhere: bool = False) -> int:
    """What a seed takes at most: its checkpoints, the one being written included, go before the quantizer's files come."""
    if recipe.mode == "record" or elsewhere:
        return _BYTES_PER_PARAMETER
    checkpoint = _CHECKPOINT_BYTES + (recipe.cluster.workers - 1) * _RANK_BYTES
    return max(_BYTES_PER_PARAMETER, _TRAINED_BYTES + (recipe.train.checkpoints_kept + 1) * checkpoint)


def matrix_parameters(cfg: ModelConfig) -> int:
    """Parameters of the tables and of the blocks' matrices; a model's vectors and scalars are less than 2 % on top.

    Counted by hand for the shipped block, since making the model, even of shapes alone, takes torch: seconds to load.
    """
    narrow = cfg.kv_heads * (cfg.width // cfg.heads)
    tables = cfg.vocab_size * cfg.embedding_width * (1 if cfg.tied_embeddings else 2)
    projections = 2 * cfg.width * cfg.embedding_width if cfg.embedding_width != cfg.width else 0
    value_table = cfg.value_embedding_width * (cfg.vocab_size + narrow) if cfg.value_embedding_layers else 0
    block = 2 * cfg.width * (cfg.width + narrow) + 2 * cfg.width * int(cfg.mlp_mult * cfg.width)
    return tables + projections + value_table + cfg.layers * block


def check_shared(out: Path, probe: Callable[[str, str], str | None] | None = None) -> None:
    """On a cluster of several nodes, let each read what this process wrote and write what this process reads.

    Args:
        out: the folder.
        probe: what each node runs; default `echo`.

    Raises:
        StorageError: a node sees another folder.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    token = secrets.token_hex(8)
    here = out / f".shared-{token}"
    here.write_text(token)
    task, remedy = ray.remote(probe or echo), "give a folder by --out that is mounted on every node"
    try:
        for node in nodes:
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            there, host = out / f".shared-{token}-{node['NodeID'][:12]}", node["NodeManagerHostname"]
            ref = task.options(num_cpus=0, scheduling_strategy=where, name="check_shared_out").remote(str(here), str(there))
            try:
                seen = ray.get(ref, timeout=NODE_ANSWER_S)
            except ray.exceptions.RayError as error:
                raise StorageError(
                    f"--out {out}", f"could not be tried on node {host} ({type(error).__name__})", remedy
                ) from error
            if seen != token or not there.exists():
                raise StorageError(f"--out {out}", f"is not the same folder on node {host}", remedy)
            there.unlink()
    finally:
        here.unlink(missing_ok=True)


def echo(read: str, write: str) -> str | None:
    """On another node: what lies at ``read`` (None: nothing), copied to ``write``."""
    if not Path(read).is_file():
        return None
    text = Path(read).read_text()
    Path(write).write_text(text)
    return text


@contextmanager
def sole_driver(root: Path) -> Iterator[None]:
    """Hold the sweep's lock; it goes with the process, however that ends.

    Raises:
        StorageError: another process drives this sweep.
    """
    with sole(root / LOCK_FILE, StorageError(f"sweep {root}", "is driven by another process", "wait for it, or stop it first")):
        yield
