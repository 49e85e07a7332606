"""The service from a program: a typed client that repeats what is safe to repeat, events without gaps, tables.

with Client("http://127.0.0.1:8800", key=key) as client:
    sweep = client.submit(SweepSubmission(profile="smoke", seeds=[42, 1337, 2024])).sweep
    sweep = watch(client, sweep.id)
"""

from api.client.errors import RequestRefused, ServiceAway
from api.client.http import DEFAULT_URL, Client, Patience, Submitted
from api.client.watch import exit_code, watch

__all__ = [
    "DEFAULT_URL",
    "Client",
    "Patience",
    "RequestRefused",
    "ServiceAway",
    "Submitted",
    "exit_code",
    "watch",
]
