"""Who may do what: keys and scopes, hosts and origins, limits on bodies and rates, headers of every answer."""

from api.security.identity import Identity, authenticate, require
from api.security.session import SESSION_COOKIE, clear_session, set_session

__all__ = ["SESSION_COOKIE", "Identity", "authenticate", "clear_session", "require", "set_session"]
