"""One seed in one process without Ray: what `jobs/seed.py` runs where it is given no spec."""

from __future__ import annotations

from rich.console import Console

from cluster.storage import sole_driver
from recur.pipeline import LocalBackend, run_seed
from recur.recipe import fingerprint
from recur.record.attempt import write_seed_result
from recur.record.plots import read_histories, write_plots
from recur.record.report import write_sweep
from recur.record.result import State, summarise
from recur.record.table import sweep_table
from recur.seedspec import SeedSpec

EXIT_OK, EXIT_FAILED = 0, 1


def run_alone(spec: SeedSpec, dataset_sha256: str, console: Console) -> int:
    """One seed in this process, world size 1, no Ray; the same folder and table as a sweep of one seed.

    Returns:
        0 when it SUCCEEDED, else 1.

    Raises:
        StorageError: another process runs it.
    """
    with sole_driver(spec.sweep_root):
        result = run_seed(spec, LocalBackend())
        write_seed_result(spec.sweep_root, result)
        sweep = summarise(spec.sweep, spec.recipe.profile, fingerprint(spec.recipe, dataset_sha256), [result])
        write_sweep(spec.sweep_root, sweep)
        write_plots(spec.sweep_root, sweep, read_histories(spec.sweep_root, sweep))
    console.print(sweep_table(sweep))
    console.print(f"results: {spec.sweep_root}", highlight=False, markup=False, soft_wrap=True)
    return EXIT_OK if result.state is State.SUCCEEDED else EXIT_FAILED
