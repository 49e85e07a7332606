"""From a finished sweep's folder to its record folder in one call: what record.py does at the end and `recur folder` again."""

from __future__ import annotations

from pathlib import Path

from recur.record.bundle import bundle, requirements
from recur.record.folder.about import About
from recur.record.folder.source import gather
from recur.record.folder.write import write_record_folder


def publish(root: Path, about: About) -> Path:
    """Write `<root>/record/<track>/<date>_<slug>/` for the sweep in ``root``; errors as `gather` and `write_record_folder`.

    Args:
        root: a finished sweep, `<out>/<sweep>`.
        about: what only the submitter knows.
    """
    source = gather(root)
    script = bundle(source.recipe).source
    return write_record_folder(source, into=root, script=script, requirements=requirements(), about=about)
