"""The application: `create_app` wires settings, store, reconciler, routes and pages; its lifespan opens and closes them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.events import Broadcaster
from api.logs import RequestMiddleware
from api.metrics import Metrics
from api.models import Problem
from api.pages import STATIC, make_router, render_problem
from api.problems import add_handlers
from api.routes import catalogue, events, files, health, sweeps
from api.security.body import BodyMiddleware
from api.security.hosts import HostMiddleware
from api.security.rate import RateLimiter
from api.service.context import Context
from api.settings import Settings
from api.store import open_store
from recur import __version__

if TYPE_CHECKING:
    from api.reconciler import Helper, Reconciler
    from cluster.job_client import Cluster, JobClient

_log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[1]
"""The repository: jobs run from it."""
STOP_S = 3.0
"""How long the reconciler may take to end its round."""
_DESCRIPTION = "Seed sweeps: submit, watch, compare. Errors are RFC 9457 problems; times are UTC; losses are nats per token."


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What `create_app` was given, for when the application starts."""

    settings: Settings
    metrics: Metrics
    jobs: JobClient | None
    cluster: Cluster | None
    helper: Helper | None
    clock: Callable[[], float]
    boundary: Callable[[str], None]


def create_app(
    settings: Settings,
    *,
    jobs: JobClient | None = None,
    cluster: Cluster | None = None,
    helper: Helper | None = None,
    clock: Callable[[], float] = time.time,
    boundary: Callable[[str], None] = lambda _: None,
) -> FastAPI:
    """The service.

    Args:
        settings: checked.
        jobs, cluster, helper: the reconciler's; by default Ray and subprocesses.
        clock: seconds since 1970.
        boundary: called with the name of each point at which a test may kill the process.
    """

    metrics = Metrics()
    parts = _Parts(settings=settings, metrics=metrics, jobs=jobs, cluster=cluster, helper=helper, clock=clock, boundary=boundary)
    app = FastAPI(
        title="recur",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lambda app: _lifespan(app, parts),
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(RequestMiddleware, metrics=metrics),
            Middleware(HostMiddleware, settings=settings),
            Middleware(BodyMiddleware, settings=settings),
        ],
    )
    add_handlers(app)
    app.add_exception_handler(events.NothingMore, _nothing_more)
    for router in (sweeps.router, events.router, files.router, catalogue.router, health.router):
        app.include_router(router)
    _add_pages(app)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _add_pages(app: FastAPI) -> None:
    """The pages: their routes, their files below /static, and how they show a refusal."""
    app.include_router(make_router())
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.state.render_problem = render_problem


def openapi(app: FastAPI) -> dict[str, Any]:
    """The interface's description, with the schema of problems and without the pages."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = found["components"]["schemas"]
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs") | {"Problem": problem}
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = found
    return app.openapi_schema


async def _nothing_more(request: Request, error: Exception) -> Response:
    return Response(status_code=204)


@asynccontextmanager
async def _lifespan(app: FastAPI, parts: _Parts) -> AsyncIterator[None]:
    """Open the store, start feeds and reconciler; end them in the other order."""
    ctx = await asyncio.to_thread(_opened, parts)
    app.state.context = ctx
    stop = threading.Event()
    feeding = asyncio.create_task(ctx.events.run())
    thread = _start_reconciler(ctx, parts, stop)
    try:
        yield
    finally:
        stop.set()
        ctx.events.close()
        ctx.nudge()
        await feeding
        if thread is not None:
            await asyncio.to_thread(thread.join, STOP_S)
        ctx.store.close()


def _opened(parts: _Parts) -> Context:
    settings = parts.settings
    settings.make_folder()
    store = open_store(settings.database, clock=parts.clock)
    parts.metrics.watch(store)
    return Context(
        store=store,
        settings=settings,
        clock=parts.clock,
        metrics=parts.metrics,
        events=Broadcaster(store),
        limiter=RateLimiter(settings.rate_per_minute, settings.rate_burst, time.monotonic),
        boundary=parts.boundary,
    )


def _start_reconciler(ctx: Context, parts: _Parts, stop: threading.Event) -> threading.Thread | None:
    if not ctx.settings.reconcile:
        return None
    ctx.reconciler = reconciler = make_reconciler(ctx, parts.jobs, parts.cluster, parts.helper)
    thread = threading.Thread(target=reconciler.run, args=(stop,), name="reconciler", daemon=True)
    thread.start()
    return thread


def make_reconciler(ctx: Context, jobs: JobClient | None, cluster: Cluster | None, helper: Helper | None) -> Reconciler:
    """The reconciler with what was given, else with Ray and subprocesses."""
    from api.reconciler import Reconciler, ReconcilerSettings, SubprocessHelper
    from cluster.job_client import RayJobs
    from cluster.launch import seed_environment

    settings = ctx.settings
    ray = RayJobs(settings.ray_dashboard)
    return Reconciler(
        ctx.store,
        jobs or ray,
        cluster or ray,
        helper or SubprocessHelper(ROOT, ctx.out),
        out=ctx.out,
        settings=ReconcilerSettings(
            root=ROOT,
            runtime_env=seed_environment(ROOT),
            tick_s=settings.tick_s,
            cpu_slots=settings.cpu_slots,
            gpu_slots=settings.gpu_slots,
            ageing_s=settings.ageing_s,
            max_run_s=settings.max_run_s,
        ),
        clock=ctx.clock,
        boundary=ctx.boundary,
        observer=ctx.metrics,
    )
