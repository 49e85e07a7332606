"""Prometheus metrics with a registry of their own: what the requests and the reconciler report, and what the store holds.

The numbers of the store are read at every scrape, so they cannot drift from it. With the database away a scrape still
answers, without them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.store import Store, StoreUnavailable, counts, finished

_log = logging.getLogger(__name__)

_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ADMIT_S = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_TICK_S = (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "recur_http_requests", "Requests by route and status", ["method", "route", "status"], registry=self.registry
        )
        self._request_s = Histogram(
            "recur_http_request_seconds", "Time of a request", ["route"], buckets=_REQUEST_S, registry=self.registry
        )
        self._admit_s = Histogram(
            "recur_admit_latency_seconds", "From queued to admitted", buckets=_ADMIT_S, registry=self.registry
        )
        self._tick_s = Histogram("recur_reconcile_seconds", "Time of a round", buckets=_TICK_S, registry=self.registry)
        self._ray_errors = Counter("recur_ray_call_errors", "Failed calls of the job system", ["call"], registry=self.registry)

    def watch(self, store: Store) -> None:
        """Read the store at every scrape from now on."""
        self.registry.register(_StoreCollector(store))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        known = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def ticked(self, seconds: float) -> None:
        """A round of the reconciler has ended."""
        self._tick_s.observe(seconds)

    def admitted(self, waited_s: float) -> None:
        """A seed was admitted after it had waited."""
        self._admit_s.observe(waited_s)

    def call_failed(self, call: str) -> None:
        """The job system did not answer a call, or refused it."""
        self._ray_errors.labels(call).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _StoreCollector(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        """Nothing: the names are known once they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The store's gauges; none when it is away."""
        try:
            yield from self._read()
        except StoreUnavailable as error:
            _log.warning("metrics_without_store error=%s", error)

    def _read(self) -> list[Metric]:
        with self._store.read() as c:
            states, replaced = counts.states(c), counts.states(c, replaced=True)
            depth = counts.queue_depth(c)
            scores = finished.score_summary(c)
        seeds = GaugeMetricFamily("recur_seeds", "Seeds by the state of their current attempt", labels=["state"])
        for state, count in states.items():
            seeds.add_metric([state.value], count)
        before = GaugeMetricFamily(
            "recur_replaced_attempts", "Attempts that another one has followed, by how they ended", labels=["state"]
        )
        for state, count in replaced.items():
            before.add_metric([state.value], count)
        queue = GaugeMetricFamily("recur_queue_depth", "Seeds that wait for a slot", labels=["pool"])
        for pool, count in depth.items():
            queue.add_metric([pool.value], count)
        found: list[Metric] = [seeds, before, queue]
        if scores.best is not None and scores.mean is not None:
            best = GaugeMetricFamily("recur_best_val_bpb", "Lowest sliding score of a SUCCEEDED seed", value=scores.best)
            mean = GaugeMetricFamily("recur_mean_val_bpb", "Mean sliding score of the SUCCEEDED seeds", value=scores.mean)
            found += [best, mean]
        return found
