"""Routes: one small picture in, its result or what was measured of it out, while the caller waits."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from enhancer.contract import Envelope, ItemRecord
from enhancer.errors import EnhancerError, ErrorKind, RequestError
from enhancer.ledger import ItemState
from enhancer.reasons import Reason
from enhancer.service.jobs import LARGEST_FIELD, media_type_of
from enhancer.service.places import upload_keys
from enhancer.service.pool import Answer, Pool
from enhancer.service.problems import RefusedError, problems
from enhancer.service.requests import Wishes
from enhancer.service.security import Caller, caller_with
from enhancer.service.streaming import content_disposition

router = APIRouter(prefix="/v1", tags=["one picture"])

Worker = Annotated[Caller, Depends(caller_with("enhance"))]

PresetName = Annotated[str | None, Query(max_length=64, description="a preset's name")]
Scale = Annotated[float | None, Query(ge=1, le=8)]
DenoiseStrength = Annotated[float | None, Query(ge=0, le=1)]
ModelName = Annotated[str | None, Query(max_length=200)]

FILE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post(
    "/enhance",
    response_class=Response,
    responses={
        200: {
            "description": "the result",
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "X-Enhancer-Identity": {
                    "description": "the same for the same picture under the same recipe",
                    "schema": {"type": "string"},
                },
                "X-Enhancer-Warnings": {"description": "how many the record has", "schema": {"type": "integer"}},
            },
        },
        **problems(400, 413, 415),
    },
    openapi_extra=FILE_BODY,
)
async def enhance(
    request: Request,
    caller: Worker,
    recipe: PresetName = None,
    scale: Scale = None,
    denoise_strength: DenoiseStrength = None,
    model: ModelName = None,
    record: Annotated[bool, Query(description="answer with the record as JSON instead of the picture")] = False,
) -> Response:
    """Enhance one small picture, the form's field `file`, and answer with the result.

    A picture whose result the gate refuses is answered with status 422 and class `gate`. For larger pictures, and for
    many, give a job.
    """
    pool = pool_of(request)
    wishes = Wishes(recipe=recipe, scale=scale, denoise_strength=denoise_strength, model=model)
    name, data = await _file_of(request)
    answer = await run_in_threadpool(enhanced, pool, name, data, wishes)
    if record:
        return Response(answer.record.model_dump_json(by_alias=True), media_type="application/json")
    output = answer.record.output or name
    return Response(
        answer.data,
        media_type=media_type_of(output),
        headers={
            "Content-Disposition": content_disposition(output),
            "X-Enhancer-Identity": answer.record.identity or "",
            "X-Enhancer-Warnings": str(len(answer.record.warnings)),
        },
    )


@router.post("/inspect", response_model=Envelope, responses=problems(400, 413, 415), openapi_extra=FILE_BODY)
async def inspect(
    request: Request,
    caller: Worker,
    recipe: PresetName = None,
    scale: Scale = None,
    denoise_strength: DenoiseStrength = None,
    model: ModelName = None,
) -> Response:
    """Say what a picture is, what was measured of it, and what each of the recipe's stages would decide and why.

    The picture is the form's field `file`, within the limits of `/v1/enhance`; the answer is that of `enhancer inspect
    --json`. Nothing is enhanced or kept.
    """
    pool = pool_of(request)
    wishes = Wishes(recipe=recipe, scale=scale, denoise_strength=denoise_strength, model=model)
    name, data = await _file_of(request)
    envelope = await run_in_threadpool(_inspected, pool, name, data, wishes)
    return Response(envelope.model_dump_json(by_alias=True), media_type="application/json")


def pool_of(request: Request) -> Pool:
    """The server's warm workers.

    Raises:
        RefusedError: it has none.
    """
    pool: Pool | None = request.app.state.pool
    if pool is None:
        raise RefusedError("this service has no warm workers (ENHANCER_SERVICE_WORKERS=0)", reason=Reason.TIMEOUT)
    return pool


def _inspected(pool: Pool, name: str, data: bytes, wishes: Wishes) -> Envelope:
    recipe = wishes.resolved()
    record = pool.enhance(name, data, recipe, action="inspect").record
    _raise_error_of(record)
    return Envelope(command="inspect", ok=True, items=[record], summary={"recipe": recipe.model_dump(mode="json")})


def enhanced(pool: Pool, name: str, data: bytes, wishes: Wishes) -> Answer:
    """The picture's result.

    Raises:
        EnhancerError: with the class of what went wrong.
    """
    answer = pool.enhance(name, data, wishes.resolved())
    record = answer.record
    if record.state == ItemState.PUBLISHED:
        return answer
    _raise_error_of(record)
    raise RefusedError(f"{name} ended {record.state}", reason=Reason.UNEXPECTED)


def _raise_error_of(record: ItemRecord) -> None:
    if record.error is None:
        return
    kind = ErrorKind.TRANSIENT if record.state == ItemState.FAILED else ErrorKind.PERMANENT
    raise EnhancerError(record.error.message, reason=record.error.error_class, kind=kind)


async def _file_of(request: Request) -> tuple[str, bytes]:
    """The one file of a form: its name, and its bytes.

    Raises:
        RefusedError: no form.
        RequestError: not exactly one file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise RefusedError("send multipart/form-data with a field called 'file'", reason=Reason.UNSUPPORTED)
    async with request.form(max_files=2, max_fields=4, max_part_size=LARGEST_FIELD) as form:
        files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1 or files[0][0] != "file" or len(form) != 1:
            raise RequestError(
                "send one file, in a field called 'file'; all else goes into the address", reason=Reason.BAD_PARAMS
            )
        file = files[0][1]
        return upload_keys([file.filename])[0], await file.read()
