"""Joining a Ray cluster, or starting a local one, and leaving it again. The one place that reads Ray's environment.

The rule (ARCHITECTURE, Joining Ray): inside a Ray job RAY_ADDRESS is set by the job's supervisor and a bare
`ray.init()` joins; else the given address; else a local Ray is started here, with a dashboard, because the dashboard
serves the Jobs API. A local Ray uses token mode with a fresh token that lives in this process's environment only: Ray's
default would write ~/.ray/auth_token, after which a later `ray start --head` of the same user demands a token that its
clients do not send (RAY.md 11). Nothing of Ray is stopped that was not started here, and never by `ray stop`.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recur.errors import InputError, PlacementError

MIN_CPUS = 2
"""A local Ray offers at least two CPUs, so that two workers fit on any machine."""
EXCLUDES = (
    "/.git",
    "/.venv",
    "/results",
    "/data",
    "/docs",
    "/tests/golden",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
)
"""What a job does not need of the repository, as gitignore patterns."""
JOB_ENVIRONMENT = {
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""Ray settings of every seed job. No secret may ever be put here: the Jobs API shows it."""
JOIN_ATTEMPTS = 5
PROBE_S = 5.0
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 says first (RFC 9113, 3.4): the magic and an empty SETTINGS frame."""
HTTP2_SETTINGS = b"\x04"
"""Type of the frame, its fourth byte, that a server of HTTP/2 answers with."""
OWN_CLUSTER = "RECUR_GCS_ADDRESS"
"""Tells a seed job its cluster. Ray sets a job's RAY_ADDRESS to the newest cluster on the host, which may be another one."""
_AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


@dataclass(frozen=True, kw_only=True)
class Session:
    """The cluster that this process has joined.

    Attributes:
        dashboard: ``http://host:port`` of the dashboard and the Jobs API.
        working_dir: what seed jobs run in, a ``gcs://`` package that is already uploaded.
        started_here: whether `leave` ends the cluster.
        in_job: whether this process is itself a Ray job (its working directory vanishes with it).
        own_token: whether `join` has put a fresh token into this process's environment.
        metrics: ``http://host:port/metrics`` of this node, None when it is not known.
        gcs: ``host:port`` of the cluster's GCS, which every node can reach.
    """

    dashboard: str
    working_dir: str
    started_here: bool
    in_job: bool
    own_token: bool
    metrics: str | None
    gcs: str

    def job_environment(self) -> dict[str, str]:
        """Environment variables of the seed jobs of this cluster; RAY_ADDRESS is for Train's own actors in them."""
        return {**JOB_ENVIRONMENT, OWN_CLUSTER: self.gcs, "RAY_ADDRESS": self.gcs}


def in_ray_job() -> bool:
    """Whether a Ray job's supervisor started this process."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def join(root: Path, address: str | None = None) -> Session:
    """Connect this process to a cluster; starts a local one when there is none to join.

    Args:
        root: the repository, which becomes the working directory of the jobs.
        address: ``host:6379`` of a running head; ignored when RAY_ADDRESS is set.

    Raises:
        InputError: no cluster answers at the address, or it demands a token.
    """
    chosen = "RAY_AUTH_MODE" in os.environ
    _correct_address()
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    pack_quietly()
    in_job, joining = in_ray_job(), "RAY_ADDRESS" in os.environ or address is not None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if not _job_has_working_dir():
        options["runtime_env"] = {"working_dir": str(root), "excludes": list(EXCLUDES)}
    context = _joined(address, options) if joining else _started(options)
    import ray

    package = str(ray.get_runtime_context().runtime_env.get("working_dir") or root)
    return Session(
        dashboard=f"http://{context.dashboard_url}",
        working_dir=package,
        started_here=not joining,
        in_job=in_job,
        own_token=not joining and not chosen,
        metrics=_metrics_url(context.address_info),
        gcs=str(ray.get_runtime_context().gcs_address),
    )


def pack_quietly() -> None:
    """Keep Ray from telling, at every submission, which files it leaves out of the package: `EXCLUDES` names them."""
    os.environ.setdefault("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "")
    logging.getLogger("ray._private.runtime_env.packaging").setLevel(logging.WARNING)
    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)


def join_as_seed_job() -> None:
    """Connect a seed job to the cluster whose driver submitted it."""
    if OWN_CLUSTER in os.environ:
        os.environ["RAY_ADDRESS"] = os.environ[OWN_CLUSTER]
    else:
        _correct_address()
    import ray

    ray.init()


def leave_as_seed_job() -> None:
    """Disconnect; at the interpreter's own exit Ray would first wait half a second for what workers may still print."""
    import ray

    ray.shutdown()


def leave(session: Session) -> None:
    """Disconnect; a cluster that was started here ends with it."""
    import ray

    ray.shutdown()
    if session.own_token:
        for name in _AUTHENTICATION:
            os.environ.pop(name, None)
        _set_authentication({})


@contextmanager
def without_addresses() -> Iterator[None]:
    """Hide RAY_ADDRESS and RAY_API_SERVER_ADDRESS: Ray lets them override the address that a client is given."""
    hidden = {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _joined(address: str | None, options: dict[str, Any]) -> Any:
    target = os.environ.get("RAY_ADDRESS") or str(address)
    remedy = "check that a head runs there and, if it was started in token mode, set RAY_AUTH_MODE=token"
    if "RAY_ADDRESS" not in os.environ:
        _check_gcs(target)
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", str(JOIN_ATTEMPTS))  # read when ray is imported
    import ray

    try:
        return ray.init(**options) if "RAY_ADDRESS" in os.environ else ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"Ray at {target}", f"cannot be joined ({first})", remedy) from error


def _check_gcs(address: str) -> None:
    """See that a gRPC server answers at ``host:port``; `ray.init` would try again for minutes.

    Raises:
        InputError: not of that form, nobody listens, or what listens is no GCS (the dashboard, say).
    """
    value, remedy = f"--address {address}", "give host:6379 of a running head, as `ray start --head` prints it"
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise InputError(value, "must have the form host:port", remedy)
    try:
        with socket.create_connection((host, int(port)), timeout=PROBE_S) as probe:
            probe.settimeout(PROBE_S)
            probe.sendall(HTTP2_PREFACE)
            answer = probe.recv(9)
    except OSError as error:
        raise InputError(value, f"does not answer ({error})", remedy) from error
    if "RAY_USE_TLS" not in os.environ and answer[3:4] != HTTP2_SETTINGS:
        raise InputError(value, "answers, but is not a Ray head's GCS", remedy)


def _started(options: dict[str, Any]) -> Any:
    import ray
    from ray._private import parameter

    if "RAY_AUTH_MODE" not in os.environ:
        _set_authentication({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    parameters = parameter.RayParams
    # ray.init has no argument for the agent's port: with its fixed 52365 a second Ray on one host refuses every job.
    parameter.RayParams = functools.partial(parameters, dashboard_agent_listen_port=0)
    try:
        return ray.init(address="local", include_dashboard=True, num_cpus=max(MIN_CPUS, os.cpu_count() or 1), **options)
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise PlacementError(
            "a local Ray", f"could not be started ({first})", "see the newest /tmp/ray/session_*/logs"
        ) from error
    finally:
        parameter.RayParams = parameters


def _set_authentication(values: dict[str, str]) -> None:
    """Set Ray's authentication for this process and its children; Ray has read the environment when it was imported."""
    raylet: Any = importlib.import_module("ray._raylet")
    os.environ.update(values)
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _correct_address() -> None:
    """Point RAY_ADDRESS at the raylet that this job descends from.

    The job's supervisor takes the address of "the" Ray of its host from a file or the list of processes; with several on
    one host (a head beside a local Ray, say) that is any of them (seen with 2.60).
    """
    if in_ray_job() and (own := _ancestral_gcs()):
        os.environ["RAY_ADDRESS"] = own


def _ancestral_gcs() -> str | None:
    """The GCS address on the command line of the raylet above this process; None where that cannot be read."""
    pid = os.getppid()
    while pid > 1:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            return None
        for word in words:
            if word.startswith("--gcs-address="):
                return word.removeprefix("--gcs-address=")
        pid = parent
    return None


def _job_has_working_dir() -> bool:
    """Whether the job that we are already has a package; naming a second one would be an error."""
    config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return bool((config.get("runtime_env") or {}).get("working_dir"))


def _metrics_url(address_info: dict[str, Any]) -> str | None:
    host, port = address_info.get("node_ip_address"), address_info.get("metrics_export_port")
    return f"http://{host}:{port}/metrics" if host and port else None
