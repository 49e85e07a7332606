"""Files of a sweep: log, artifact, record folder, table of results."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import FileResponse, StreamingResponse

from api import service
from api.routes.parameters import AttemptQuery, Ctx, Reader, SeedPath, SweepPath, problems

router = APIRouter(prefix="/v1/sweeps/{sweep_id}", tags=["files"])

_TEXT = {"text/plain": {"schema": {"type": "string"}, "example": "step 50/200 loss 5.91\n"}}
_CSV = {"text/csv": {"schema": {"type": "string"}, "example": "sweep,profile,fingerprint,seed,state\n"}}
_BINARY = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


@router.get(
    "/seeds/{seed}/log",
    operation_id="read_log",
    summary="Read a seed's log",
    response_class=Response,
    responses={200: {"description": "The last lines.", "content": _TEXT}, **problems(404)},
)
def read_log(
    ctx: Ctx,
    identity: Reader,
    sweep_id: SweepPath,
    seed: SeedPath,
    attempt: AttemptQuery = None,
    lines: Annotated[int, Query(ge=1, le=10_000, description="At most that many lines.")] = 500,
) -> Response:
    """What the job printed; while it runs, with its latest progress. `X-Log-Cut: true` when there is more before it."""
    tail = service.log_tail(ctx, sweep_id, seed, attempt, lines)
    headers = {"X-Log-Attempt": str(tail.attempt), "X-Log-Cut": "true" if tail.cut else "false"}
    return Response(tail.text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=headers)


@router.get(
    "/seeds/{seed}/artifact",
    operation_id="download_artifact",
    summary="Download a seed's artifact",
    response_class=Response,
    responses={
        200: {"description": "The compressed model.", "content": {"application/octet-stream": _BINARY}},
        206: {"description": "The range asked for."},
        416: {"description": "There is no such range."},
        **problems(404, 409),
    },
)
def download_artifact(ctx: Ctx, identity: Reader, sweep_id: SweepPath, seed: SeedPath) -> Response:
    """The artifact of the attempt that counts; its bytes are compared with their SHA-256 (also the ETag) before they are sent."""
    found = service.artifact(ctx, sweep_id, seed)
    headers = {"ETag": f'"{found.sha256}"', "X-SHA256": found.sha256}
    return FileResponse(found.path, media_type="application/octet-stream", filename=found.name, headers=headers)


@router.get(
    "/record.zip",
    operation_id="download_record",
    summary="Download the record folder",
    response_class=Response,
    responses={200: {"description": "A zip archive.", "content": {"application/zip": _BINARY}}, **problems(404, 409)},
)
def download_record(ctx: Ctx, identity: Reader, sweep_id: SweepPath) -> Response:
    """The folder to submit, as it was written with the report."""
    pieces = service.record_zip(ctx, sweep_id)
    headers = {"Content-Disposition": f'attachment; filename="{sweep_id}-record.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.get(
    "/results.csv",
    operation_id="download_results",
    summary="Download the table of results",
    response_class=Response,
    responses={200: {"description": "One row a seed.", "content": _CSV}, **problems(404)},
)
def download_results(ctx: Ctx, identity: Reader, sweep_id: SweepPath) -> Response:
    """The same numbers as in the sweep; before the report, what is known so far."""
    headers = {"Content-Disposition": f'attachment; filename="{sweep_id}-results.csv"'}
    return Response(service.results_csv(ctx, sweep_id), media_type="text/csv; charset=utf-8", headers=headers)
