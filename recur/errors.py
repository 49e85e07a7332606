"""One exception tree for the whole project.

`InputError` and its children are the user's to mend: an entry script prints their one line and exits with code 2.
Everything else under `RecurError` is a run that failed (exit code 1).
"""

from __future__ import annotations


class RecurError(Exception):
    """Root of every error this project raises on purpose."""


class InputError(RecurError):
    """Bad input: one line that says the value, the rule it breaks and the remedy.

    Args:
        value: what was given, e.g. ``batch_tokens=500000``.
        rule: what it must satisfy, e.g. ``must be a multiple of 16384``.
        remedy: what to do, e.g. ``nearest: 507904``.
    """

    def __init__(self, value: str, rule: str, remedy: str) -> None:
        super().__init__(value, rule, remedy)
        self.value, self.rule, self.remedy = value, rule, remedy

    def __str__(self) -> str:
        return f"{self.value} {self.rule}; {self.remedy}".replace("\n", " ")


class RecipeError(InputError):
    """Unknown profile or key, a value out of bounds, or values that contradict each other."""


class DataError(InputError):
    """A shard, document set, manifest or tokenizer that cannot be used."""


class PlacementError(InputError):
    """No node of the cluster can ever hold what the recipe asks for."""


class StorageError(InputError):
    """An output folder that is missing, full, not writable or not shared."""


class ArtifactError(InputError):
    """An artifact, checkpoint or record that is damaged, unknown or larger than it may be."""


class BudgetUnreachable(RecurError):
    """The artifact cannot be brought under the byte cap."""


class WorkerLost(RecurError):
    """A training process that ended without an exception of its own.

    Args:
        message: one line.
        node_gone: its machine went away.
    """

    def __init__(self, message: str, *, node_gone: bool) -> None:
        super().__init__(message)
        self.node_gone = node_gone


class NoRoom(RecurError):
    """The cluster had no free place for a training when it was to start."""


class QuantizationError(RecurError):
    """A weight or its Hessian that cannot be quantized: not finite, or not positive definite even damped."""
