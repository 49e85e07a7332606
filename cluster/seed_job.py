"""One seed as the body of a Ray job: what `jobs/seed.py --spec` runs."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from cluster.outcome import cancelled, write_failure
from cluster.seal import write_seal
from cluster.session import join_as_seed_job, leave_as_seed_job
from recur.errors import InputError, RecipeError, RecurError, StorageError
from recur.recipe import source_sha256
from recur.seedspec import SWEEP_SPEC_FILE, SeedSpec, load_spec, program_of

EXIT_OK, EXIT_INPUT, EXIT_ORPHANED = 0, 2, 3
ORPHANED_WITHIN_S = 5.0
"""How long after its cluster's death a seed's process may go on."""
_log = logging.getLogger(__name__)


def run_spec(path: Path) -> int:
    """Run the attempt that a driver has written a spec for, inside the Ray job that this process is.

    Its error, if it has one, is left as error.json for the driver and raised again for the job's log.

    Returns:
        The exit code: 0 when the attempt has a result, INVALID included.
    """
    spec = load_spec(path)
    if cancelled(spec.attempt_dir):
        _log.warning("cancelled_before_start sweep=%s seed=%d", spec.sweep, spec.seed)
        return EXIT_OK
    _end_with_parent()
    try:
        check_program(spec)
        join_as_seed_job()
        from cluster.fanout import RayBackend
        from recur.pipeline import run_seed

        result = run_seed(spec, RayBackend(spec.recipe.cluster))
        write_seal(spec.attempt_dir)
    except InputError as error:
        _leave_failure(spec, error)
        return EXIT_INPUT
    except Exception as error:
        _leave_failure(spec, error if isinstance(error, RecurError) else _as_a_loss(error))
        raise
    _log.info("done sweep=%s seed=%d state=%s val_bpb=%s", spec.sweep, spec.seed, result.state, result.val_bpb.sliding)
    leave_as_seed_job()
    return EXIT_OK


def _as_a_loss(error: Exception) -> Exception:
    """An error that nobody has looked at yet, as the loss that it may tell of.

    Where the cluster is dying this process does not come back from here: its error says nothing about the program.
    """
    from cluster.losses import loss_of

    if isinstance(error, OSError) or type(error).__module__.startswith("ray."):
        time.sleep(ORPHANED_WITHIN_S)
    return loss_of(error, "the seed's job") or error


def check_program(spec: SeedSpec) -> None:
    """See that this program is the one that the sweep was begun with: seeds of two programs make no mean.

    Raises:
        RecipeError: it is another one, by an upgrade say. Without this the seed would run whole, and end INVALID.
    """
    theirs, ours = program_of(spec.sweep_root / SWEEP_SPEC_FILE), source_sha256()
    if theirs is not None and theirs != ours:
        rule = f"was begun with the program {theirs[:12]}, and this one is {ours[:12]}"
        raise RecipeError(f"sweep {spec.sweep}", rule, "start a new sweep, or go back to that program")


def _end_with_parent(poll_s: float = 1.0) -> None:
    """End this process when the one that started it is gone.

    Ray kills a job's shell when its cluster dies, but the driver below the shell goes on for a minute or more, and would
    hold off (and could contradict) the attempt that replaces it.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_s)
        _log.error("orphaned pid=%d: the job's supervisor is gone", os.getpid())
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _leave_failure(spec: SeedSpec, error: Exception) -> None:
    """Tell the driver; where even that cannot be written (a full disk) the job's log has to do."""
    _log.error("seed_failed sweep=%s seed=%d at=%d error=%s", spec.sweep, spec.seed, int(time.time()), error)
    try:
        write_failure(spec.attempt_dir, error)
    except StorageError as refused:
        _log.error("error_file_failed error=%s", refused)
