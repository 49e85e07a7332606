"""The record folder of a sweep: gathered once, written whole, every number in it from the sweep's own files."""

from recur.record.folder.about import UNNAMED, About
from recur.record.folder.runs import Run, list_runs
from recur.record.folder.source import FolderSource, SeedSource, gather, unpublishable
from recur.record.folder.write import write_record_folder

__all__ = ["UNNAMED", "About", "FolderSource", "Run", "SeedSource", "gather", "list_runs", "unpublishable", "write_record_folder"]
