"""Requests to the service: each is repeated while that is safe, and its answer is a resource of `api.models`.

Safe to repeat are reads, a submission (it carries an idempotency key), and a cancel (the second changes nothing). A retry
of seeds is repeated only when the service cannot have seen it. What is waited out: no connection, a lost answer, 429 and 503,
whose Retry-After is honoured. Built on httpx2.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import ValidationError

from api.client.errors import ServiceAway, error_of
from api.models import RetryRequest, Sweep, SweepPage, SweepSubmission, Version
from recur.errors import InputError

DEFAULT_URL = "http://127.0.0.1:8800"
TIMEOUT_S = 30.0
SILENCE_S = 60.0
"""A stream of events without even a comment for this long is dead."""
_PASSING = (429, 503)
M = TypeVar("M", Sweep, SweepPage, Version)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a call goes on trying.

    Attributes:
        total_s: seconds after the first failure at which it gives up.
        first_s: first pause; each is twice the one before, with a jitter of a quarter.
        longest_s: longest pause, unless the service names a longer one.
    """

    total_s: float = 5.0
    first_s: float = 0.2
    longest_s: float = 5.0

    def pause_s(self, failures: int) -> float:
        """Pause after that many failures, 1 being the first."""
        doubled: float = self.first_s * 2 ** min(failures - 1, 30)
        return min(doubled, self.longest_s) * random.uniform(0.75, 1.25)


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """An accepted submission; ``replayed`` when the service had accepted it before under the same key."""

    sweep: Sweep
    replayed: bool
    idempotency_key: str


def _host(url: str) -> str | None:
    """The host of a service's address; None where that is none."""
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 else None
    except ValueError:  # of a port that is no number, or of brackets that are no address
        return None


class Client:
    """One service. Close it, or use it as a context manager.

    Args:
        url: ``http://host:port``.
        key: bearer key; None where the service asks for none.
        patience: for passing failures.
        clock, sleep: seconds.
        transport: of httpx2, for tests.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if (host := _host(url)) is None:
            raise InputError(f"service {url!r}", "must be http://host:port", f"e.g. {DEFAULT_URL}")
        if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key and key):
            raise InputError("the service's key", "must be printable ASCII without spaces at its ends", "check RECUR_API_KEY")
        self.url, self.patience, self._clock, self._sleep = url.rstrip("/"), patience, clock, sleep
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(TIMEOUT_S, connect=5.0),
            trust_env=host not in _LOOPBACK,  # never through a proxy to this machine
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def submit(self, submission: SweepSubmission, *, idempotency_key: str | None = None) -> Submitted:
        """Submit a sweep; repeated under one key until an answer comes.

        Raises:
            RequestRefused: the service does not take it.
            ServiceAway: no answer; a later call with the same key makes no second sweep.
        """
        key = idempotency_key or str(uuid.uuid4())
        body = submission.model_dump(mode="json", exclude_none=True)
        reply = self.call("POST", "/v1/sweeps", json=body, headers={"Idempotency-Key": key})
        replayed = reply.headers.get("Idempotency-Replayed") == "true"
        return Submitted(sweep=_resource(Sweep, reply), replayed=replayed, idempotency_key=key)

    def sweeps(
        self, *, limit: int = 50, cursor: str | None = None, status: str | None = None, sort: str | None = None
    ) -> SweepPage:
        """A page of sweeps, newest first unless sorted otherwise."""
        given = {"limit": limit, "cursor": cursor, "status": status, "sort": sort}
        params = {name: value for name, value in given.items() if value is not None}
        return _resource(SweepPage, self.call("GET", "/v1/sweeps", params=params))

    def sweep(self, sweep: str) -> Sweep:
        """A sweep, whole."""
        return _resource(Sweep, self.call("GET", _path(sweep)))

    def cancel(self, sweep: str) -> Sweep:
        """Ask for the end of all its seeds."""
        return _resource(Sweep, self.call("POST", f"{_path(sweep)}/cancel"))

    def retry(self, sweep: str, seeds: Sequence[int] | None = None) -> Sweep:
        """New attempts for these seeds, or for all that ended without success."""
        body = RetryRequest(seeds=list(seeds) if seeds is not None else None).model_dump(mode="json", exclude_none=True)
        return _resource(Sweep, self.call("POST", f"{_path(sweep)}/retry", json=body, repeat=False))

    def log(self, sweep: str, seed: int) -> str:
        """The last lines of a seed's log."""
        return self.call("GET", f"{_path(sweep)}/seeds/{seed}/log").text

    def version(self) -> Version:
        """What runs there."""
        return _resource(Version, self.call("GET", "/version"))

    def ready(self) -> dict[str, Any]:
        """The readiness document, also of a service that is not ready."""
        reply = self.call("GET", "/readyz", accepted=(503,))
        found = reply.json()
        return found if isinstance(found, dict) else {}

    @contextmanager
    def stream(self, sweep: str, after: int) -> Iterator[httpx2.EventSource | None]:
        """One connection to the sweep's events that follow number ``after``. Not repeated: see `api.client.events`.

        Yields:
            The stream; None when the sweep has ended and nothing more will come.

        Raises:
            RequestRefused, ServiceAway: as answered.
            httpx2.TransportError: the connection failed or broke.
        """
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx2.Timeout(TIMEOUT_S, connect=5.0, read=SILENCE_S)
        with self._http.stream("GET", f"{_path(sweep)}/events", headers=headers, timeout=timeout) as reply:
            if reply.status_code not in (200, 204):
                raise error_of(str(reply.url), reply.status_code, reply.read())
            yield httpx2.EventSource(reply) if reply.status_code == 200 else None

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = True,
        accepted: Sequence[int] = (),
    ) -> httpx2.Response:
        """One request with its repetitions; the answer's status is below 400 or in ``accepted``.

        Raises:
            RequestRefused: answered with 4xx.
            ServiceAway: not answered in time, or with 5xx.
        """
        first_at, failures = self._clock(), 0
        while True:
            named_s = 0.0
            try:
                reply = self._http.request(method, path, json=json, params=params, headers=headers)
            except httpx2.TransportError as error:
                if not repeat and not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                    text = f"the answer of {self.url} was lost ({_cause(error)}); see whether it was done before you repeat it"
                    raise ServiceAway(text) from error
                failure: Exception = ServiceAway(
                    f"the service at {self.url} does not answer ({_cause(error)}); start it with `recur up`, or set RECUR_API_URL"
                )
            else:
                if reply.status_code < 400 or reply.status_code in accepted:
                    return reply
                failure = error_of(f"{self.url}{path}", reply.status_code, reply.content)
                if reply.status_code not in _PASSING:
                    raise failure
                named_s = _retry_after_s(reply)
            failures += 1
            pause_s = max(named_s, self.patience.pause_s(failures))
            if self._clock() - first_at + pause_s > self.patience.total_s:
                raise failure
            self._sleep(pause_s)


def _path(sweep: str) -> str:
    return f"/v1/sweeps/{quote(sweep, safe='')}"


def _resource(kind: type[M], reply: httpx2.Response) -> M:
    """The answer as a resource.

    Raises:
        ServiceAway: it is none; then it is not our service, or one of another version.
    """
    try:
        return kind.model_validate_json(reply.content)
    except ValidationError as error:
        text = f"{reply.url} answered {reply.status_code} with something else than a {kind.__name__.lower()}"
        raise ServiceAway(f"{text}; is this a recur service of this version?", reply.status_code) from error


def _retry_after_s(reply: httpx2.Response) -> float:
    given = reply.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdecimal() else 0.0


def _cause(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200] or type(error).__name__
