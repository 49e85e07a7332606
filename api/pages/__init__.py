"""The pages: server-rendered, working offline under a strict content security policy, without a build step.

`make_router` gives all routes, `STATIC` is the folder that the app mounts at /static, `render_problem` answers a refused
request of a browser. Vendored scripts: see static/vendor/README.md.
"""

from __future__ import annotations

from fastapi import APIRouter

from api.pages.render import STATIC, render_problem

__all__ = ["STATIC", "make_router", "render_problem"]


def make_router() -> APIRouter:
    """A router with every page."""
    from api.pages.actions import actions
    from api.pages.routes import pages

    router = APIRouter()
    router.include_router(pages)
    router.include_router(actions)
    return router
