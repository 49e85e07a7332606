"""Use cases: what a route or a page asks for, decided and answered without knowing about HTTP.

They take a `Context`, return resources of `api.models`, and raise `api.problems.Refused` for what must not be.
"""

from api.service.actions import cancel, retry
from api.service.catalogue import profile_lines, profile_view, record_lines, service_version
from api.service.comparison import comparison
from api.service.context import Context, context_of
from api.service.files import ArtifactFile, LogTail, artifact, log_tail, record_zip, results_csv
from api.service.health import readiness
from api.service.statistics import statistics
from api.service.submit import Submitted, submit
from api.service.views import sweep_page, sweep_view
from api.service.waiting import queue_view

__all__ = [
    "ArtifactFile",
    "Context",
    "LogTail",
    "Submitted",
    "artifact",
    "cancel",
    "comparison",
    "context_of",
    "log_tail",
    "profile_lines",
    "profile_view",
    "queue_view",
    "readiness",
    "record_lines",
    "record_zip",
    "results_csv",
    "retry",
    "service_version",
    "statistics",
    "submit",
    "sweep_page",
    "sweep_view",
]
