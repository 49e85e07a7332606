"""Following a sweep to its end, and the exit code that its end deserves."""

from __future__ import annotations

from collections.abc import Callable

from api.client.events import events
from api.client.http import Client
from api.models import Sweep
from recur.record.result import State

EXIT_OK, EXIT_FAILED = 0, 1


def watch(client: Client, sweep: str, show: Callable[[Sweep], None] = lambda _: None) -> Sweep:
    """Wait until every seed is terminal.

    Args:
        client: the service.
        sweep: its id.
        show: called with the sweep at first and after every event.

    Raises:
        RequestRefused: there is no such sweep.
        ServiceAway: the service is away for longer than a minute.
    """
    now = client.sweep(sweep)
    show(now)
    while not ended(now):
        for event in events(client, sweep, after=now.event_count):
            if event.number > now.event_count:
                now = client.sweep(sweep)
                show(now)
            if ended(now):
                return now
        now = client.sweep(sweep)  # the stream was over; a retry may have opened the sweep again
        show(now)
    return now


def ended(sweep: Sweep) -> bool:
    """Whether every seed is terminal."""
    return State(sweep.state).terminal


def exit_code(sweep: Sweep) -> int:
    """0 when every seed SUCCEEDED, else 1; as of jobs/record.py."""
    return EXIT_OK if all(seed.state == State.SUCCEEDED for seed in sweep.seeds) else EXIT_FAILED
