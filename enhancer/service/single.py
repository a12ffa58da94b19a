"""Route: one small picture in, its result out, while the caller waits."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

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
    recipe: Annotated[str | None, Query(max_length=64, description="a preset's name")] = None,
    scale: Annotated[float | None, Query(ge=1, le=8)] = None,
    denoise_strength: Annotated[float | None, Query(ge=0, le=1)] = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    record: Annotated[bool, Query(description="answer with the record as JSON instead of the picture")] = False,
) -> Response:
    """Enhance one small picture, the form's field `file`, and answer with the result.

    A picture whose result the gate refuses is answered with status 422 and class `gate`. For larger pictures, and for
    many, give a job.
    """
    pool: Pool | None = request.app.state.pool
    if pool is None:
        raise RefusedError("this service has no warm workers (ENHANCER_SERVICE_WORKERS=0)", reason=Reason.TIMEOUT)
    wishes = Wishes(recipe=recipe, scale=scale, denoise_strength=denoise_strength, model=model)
    name, data = await _file_of(request)
    answer = await run_in_threadpool(_answer, pool, name, data, wishes)
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


def _answer(pool: Pool, name: str, data: bytes, wishes: Wishes) -> Answer:
    """The picture's result.

    Raises:
        EnhancerError: with the class of what went wrong.
    """
    answer = pool.enhance(name, data, wishes.resolved())
    record = answer.record
    if record.state == ItemState.PUBLISHED:
        return answer
    if record.error is None:
        raise RefusedError(f"{name} ended {record.state}", reason=Reason.UNEXPECTED)
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
