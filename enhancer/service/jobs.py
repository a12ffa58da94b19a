"""Routes: jobs, from what is asked to what came of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from blake3 import blake3
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from enhancer.contract import Envelope
from enhancer.errors import ObjectGoneError, RequestError
from enhancer.ledger import ItemState, Job, Ledger
from enhancer.reasons import Reason
from enhancer.recipe import describe
from enhancer.service.cleaning import forget
from enhancer.service.dispatcher import CANCELLED
from enhancer.service.places import JobPlaces, store_url, upload_key, upload_keys
from enhancer.service.problems import RefusedError, problems
from enhancer.service.requests import JobRequest, Wishes, form_wishes, refuse_side_files, run_of
from enhancer.service.security import Caller, caller_with
from enhancer.service.streaming import Served, served
from enhancer.service.views import JobView, has_result, items_envelope, job_view
from enhancer.settings import Settings
from enhancer.storage import open_store, split_address

router = APIRouter(prefix="/v1", tags=["jobs"])

POLL_S: Final = 0.4
LARGEST_FIELD: Final = 1 << 20

Reader = Annotated[Caller, Depends(caller_with("read"))]
Worker = Annotated[Caller, Depends(caller_with("enhance"))]
JobId = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9._~-]+$")]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[ -~]+$")]

JOB_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/JobRequest"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "recipe": {"type": "string", "description": "a preset's name, or a recipe as JSON"},
                        "scale": {"type": "number"},
                        "denoise_strength": {"type": "number"},
                        "model": {"type": "string"},
                        "on_rejection": {"type": "string", "enum": ["reject", "pass_through"]},
                    },
                }
            },
        },
    }
}


def _own_job(job_id: JobId, caller: Reader, request: Request) -> Job:
    ledger: Ledger = request.app.state.ledger
    return ledger.jobs.get(job_id, caller.sees)


OwnJob = Annotated[Job, Depends(_own_job)]


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobView,
    responses=problems(400, 404, 409, 413, 415),
    openapi_extra=JOB_BODY,
)
async def submit(
    request: Request, response: Response, caller: Worker, idempotency_key: IdempotencyKey = None
) -> JobView:
    """Give pictures to be enhanced: addresses or keys as JSON, or the files themselves as a form's fields `file`.

    The answer comes at once, with the job's address in `Location`. With the header `Idempotency-Key` a request may be
    sent again without doing anything twice: the same key and body give the same job.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    state = request.app.state
    job_id = f"api-{secrets.token_hex(8)}"
    if kind == "application/json":
        asked = _parsed(await request.body())
        job = await run_in_threadpool(_submit_json, state, caller, job_id, asked, idempotency_key)
    elif kind == "multipart/form-data":
        settings: Settings = state.settings
        async with request.form(
            max_files=settings.service_max_files, max_fields=20, max_part_size=LARGEST_FIELD
        ) as form:
            job = await run_in_threadpool(_submit_files, state, caller, job_id, form, idempotency_key)
    else:
        raise RefusedError("send application/json or multipart/form-data", reason=Reason.UNSUPPORTED)
    state.dispatcher.wake()
    view = await run_in_threadpool(job_view, job, state.ledger)
    response.headers["Location"] = view.links["self"]
    return view


def _parsed(body: bytes) -> JobRequest:
    try:
        return JobRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestError(describe(error), reason=Reason.BAD_PARAMS) from error


def _submit_json(state: Any, caller: Caller, job_id: str, asked: JobRequest, key: str | None) -> Job:
    run = asked.run_request(JobPlaces.of(job_id, state.settings), state.settings)
    digest = blake3(asked.model_dump_json().encode()).hexdigest()
    return _submitted(state, caller, job_id, run.as_params(), key, digest, has_files=False)


def _submit_files(state: Any, caller: Caller, job_id: str, form: FormData, key: str | None) -> Job:
    wishes, files = form_parts(form)
    settings: Settings = state.settings
    ledger: Ledger = state.ledger
    digest = _digest_of(wishes, files)
    if key is not None and (known := ledger.jobs.known(caller.owner, key, digest)) is not None:
        return known
    keys = upload_keys(file.filename for file in files)
    refuse_side_files(keys, settings)
    places = JobPlaces.of(job_id, settings)
    run = run_of(places, settings, wishes.params(), keys=keys)
    store = open_store(store_url(settings), settings)
    job = None
    try:
        for name, file in zip(keys, files, strict=True):
            store.put(upload_key(job_id, name), file.file.read(), content_type=file.content_type)
        job = _submitted(state, caller, job_id, run.as_params(), key, digest, has_files=True)
    finally:
        if job is None or job.job_id != job_id:  # refused, or a twin of this request came first
            for name in keys:
                store.delete(upload_key(job_id, name))
    return job


def _submitted(
    state: Any, caller: Caller, job_id: str, params: dict[str, Any], key: str | None, digest: str, *, has_files: bool
) -> Job:
    ledger: Ledger = state.ledger
    job, _ = ledger.jobs.submit(
        job_id,
        caller.owner,
        params,
        has_files=has_files,
        key=key,
        body_digest=None if key is None else digest,
        limit=state.settings.service_queue,
    )
    return job


def form_parts(form: FormData) -> tuple[Wishes, list[UploadFile]]:
    """A form's wishes and its files.

    Raises:
        RequestError: no file, a file in another field than `file`, an unknown field.
    """
    files: list[UploadFile] = []
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "file":
                raise RequestError(f"files come in fields called 'file', not {name!r}", reason=Reason.BAD_PARAMS)
            files.append(value)
        elif name in fields:
            raise RequestError(f"the field {name!r} comes twice", reason=Reason.BAD_PARAMS)
        else:
            fields[name] = value
    if not files:
        raise RequestError("there is no file in a field called 'file'", reason=Reason.BAD_PARAMS)
    return form_wishes(fields), files


def _digest_of(wishes: Wishes, files: list[UploadFile]) -> str:
    """Of all that a form says, its boundaries aside."""
    whole = blake3(wishes.model_dump_json().encode())
    for file in files:
        part = blake3()
        while read := file.file.read(1 << 20):
            part.update(read)
        file.file.seek(0)
        whole.update(f"\0{file.filename}\0{part.hexdigest()}".encode())
    return whole.hexdigest()


@router.get("/jobs", response_model=list[JobView], responses=problems())
def jobs(
    request: Request,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[JobView]:
    """The caller's jobs, the newest first."""
    ledger: Ledger = request.app.state.ledger
    return [job_view(job, ledger) for job in ledger.jobs.page(caller.sees, limit, offset)]


@router.get("/jobs/{job_id}", response_model=JobView, responses=problems(404))
def job(job: OwnJob, request: Request) -> JobView:
    """How far a job is."""
    return job_view(job, request.app.state.ledger)


@router.delete("/jobs/{job_id}", response_model=JobView, responses=problems(404, 409))
def delete(job: OwnJob, caller: Worker, request: Request) -> JobView:
    """Cancel an open job: what is done stays, nothing more is begun. Of one that is over, delete the files."""
    state = request.app.state
    ledger: Ledger = state.ledger
    if job.is_open:
        cancelled = ledger.jobs.cancel(job.job_id)
        if cancelled.run_id is not None and cancelled.is_open:
            ledger.halts.halt(cancelled.run_id, "stopped", CANCELLED)
    elif job.expired_at is None:
        forget(job, state.settings, ledger)
    return job_view(ledger.jobs.get(job.job_id), ledger)


@router.get("/jobs/{job_id}/items", response_model=Envelope, responses=problems(404))
def items(
    job: OwnJob,
    request: Request,
    state: Annotated[ItemState | None, Query(description="only pictures in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """The job's pictures, in the JSON of command line and reports; `summary.results` has the results' addresses."""
    wanted = None if state is None else state.value
    envelope = items_envelope(job, request.app.state.ledger, state=wanted, limit=limit, offset=offset)
    return Response(envelope.to_json(indent=None), media_type="application/json")


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=problems(404))
async def events(
    job: OwnJob,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a job, as server-sent events until it is over.

    `job` (`state`) and `item` (`key`, `state`) have numbers: who comes back with the last one in `Last-Event-ID` misses
    nothing. `progress` has the pictures by state, and no number.
    """
    ledger: Ledger = request.app.state.ledger
    after = int(last_event_id) if last_event_id is not None and last_event_id.isdecimal() else 0
    counts: dict[str, int] | None = None
    while True:
        now = await run_in_threadpool(ledger.jobs.get, job.job_id)
        found = await run_in_threadpool(ledger.jobs.events, job.job_id, after)
        for event in found:
            after = event.number
            yield ServerSentEvent(data=event.data, event=event.event, id=str(event.number))
        view = await run_in_threadpool(job_view, now, ledger)
        if view.counts != counts:
            counts = view.counts
            yield ServerSentEvent(data={"counts": counts, "pictures": view.pictures}, event="progress")
        if not found and not now.is_open:  # looked at before the events, so that the last one was among them
            return
        if not found:
            await asyncio.sleep(POLL_S)


@router.get(
    "/jobs/{job_id}/results/{key:path}",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "the bytes that `Range` asked for"},
        304: {"description": "the caller has this version"},
        416: {"description": "nothing of the range is there"},
        **problems(404, 410),
    },
)
def result(job: OwnJob, key: Annotated[str, Path(max_length=1024)], request: Request) -> Response:
    """One picture's result, by the key of its input."""
    state = request.app.state
    ledger, settings = state.ledger, state.settings
    if job.expired_at is not None:
        raise RefusedError(f"the files of job {job.job_id} were deleted", reason=Reason.EXPIRED)
    if "\0" in key:  # which no database takes for text
        raise ObjectGoneError(f"job {job.job_id} has no result of {key!r} (yet)")
    row = None if job.run_id is None else ledger.items.get(job.run_id, key)
    if (row is None and key not in (job.request.get("keys") or ())) or (row is not None and not has_result(row)):
        raise ObjectGoneError(f"job {job.job_id} has no result of {key!r} (yet)")
    target = ledger.targets.published_for(job.request["output_url"], job.request["input_url"], [key]).get(key)
    if target is None or target.digest is None:
        raise ObjectGoneError(f"job {job.job_id} has no result of {key!r} (yet)")
    root, name = split_address(target.address)
    return served(
        open_store(root, settings),
        Served(
            key=name,
            size=target.size or 0,
            etag=target.digest[:32],
            media_type=media_type_of(name),
            file_name=name.rpartition("/")[2],
        ),
        request.headers,
    )


def media_type_of(name: str) -> str:
    """By the name's end; what a browser would run rather than show is a plain download."""
    import mimetypes

    guessed = mimetypes.guess_type(name)[0] or ""
    safe = guessed.startswith("image/") and guessed != "image/svg+xml"
    return guessed if safe else "application/octet-stream"
