"""`python -m api [--config FILE.toml]` serves; `python -m api key create|list|revoke` manages keys."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from api.app import create_app
from api.logs import configure_logs
from api.service import keys
from api.settings import Settings, load_settings
from api.store import StoreUnavailable
from api.store.rows import Scope
from recur.errors import InputError

GRACE_S = 3
"""How long open requests may go on after a signal."""


class Server(uvicorn.Server):
    """A server that ends its event streams first: they would keep it waiting otherwise."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then as usual."""
        context = getattr(self.config.app.state, "context", None)  # type: ignore[union-attr]  # our own application
        if context is not None:
            context.events.close()
        await super().shutdown(sockets)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (0, or 2 for bad input)."""
    arguments = _parser().parse_args(argv)
    try:
        settings = load_settings(arguments.config)
        if arguments.what == "key":
            return _key(settings, arguments)
        serve(settings)
    except (InputError, StoreUnavailable) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def serve(settings: Settings) -> None:
    """Serve until a signal comes."""
    configure_logs(settings.log_level)
    settings.make_folder()
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    Server(config).run()


def _key(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.action == "create":
        made = keys.bootstrap(settings, arguments.name, Scope(arguments.scope))
        print(made.secret)
        print(f"key {made.key_id} ({arguments.scope}): shown once, only its hash is kept", file=sys.stderr)
    elif arguments.action == "revoke":
        keys.revoke(settings, arguments.key_id)
    else:
        for row in keys.all_keys(settings):
            print(f"{row.key_id} {row.scope} {'revoked' if row.revoked_at else 'valid'} {row.name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML file of settings")
    what = parser.add_subparsers(dest="what")
    actions = what.add_parser("key", help="manage keys").add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key and print its secret once")
    create.add_argument("--name", required=True, help="whose it is")
    create.add_argument("--scope", choices=[scope.value for scope in Scope], default=Scope.SUBMIT.value)
    actions.add_parser("list", help="list the keys")
    actions.add_parser("revoke", help="end a key").add_argument("key_id")
    return parser


if __name__ == "__main__":
    sys.exit(main())
