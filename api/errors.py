"""Errors over HTTP: one table from the project's error tree to a status, every answer problem+json (RFC 9457).

But for `/api/v1` and `/api/v2`, whose clients know the errors of Prometheus and Alertmanager only.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.models import ParameterProblem, Problem, ReadyCheck
from fleetpulse.errors import FatalError, FleetpulseError, RejectedError, RetryableError, RuleError

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"


class ParameterError(RejectedError):
    """A parameter that cannot be used; the sentence says what may."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__("parameter", f"{parameter}: {message}")
        self.parameter = parameter
        self.message = message


class NotFoundError(RejectedError):
    """A thing that does not exist, and the names like it."""

    def __init__(self, detail: str, nearest: Sequence[str] = ()) -> None:
        super().__init__("not_found", detail)
        self.nearest = list(nearest)


class InvalidRulesError(RejectedError):
    """Rules that cannot be used; every complaint has its place."""

    def __init__(self, complaints: Sequence[RuleError]) -> None:
        super().__init__("rules", "\n".join(map(str, complaints)))
        self.complaints = list(complaints)


class ConflictError(RejectedError):
    """What is asked for cannot be done with what is there now."""

    def __init__(self, detail: str) -> None:
        super().__init__("conflict", detail)


class StaleError(ConflictError):
    """The version that the change was made from is not the newest."""


class PreconditionError(ConflictError):
    """A change must say which version it was made from."""


class TooLargeError(RejectedError):
    """A request with more in it than one may have."""

    def __init__(self, detail: str) -> None:
        super().__init__("too_large", detail)


class NotReadyError(RetryableError):
    """At least one readiness check fails."""

    def __init__(self, checks: Sequence[ReadyCheck]) -> None:
        causes = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
        super().__init__("; ".join(causes))
        self.checks = list(checks)


# The nearest class of an error decides.
STATUS_OF: dict[type[FleetpulseError], HTTPStatus] = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    StaleError: HTTPStatus.PRECONDITION_FAILED,
    PreconditionError: HTTPStatus.PRECONDITION_REQUIRED,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RejectedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RetryableError: HTTPStatus.SERVICE_UNAVAILABLE,
    FatalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    FleetpulseError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def install(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""
    app.add_exception_handler(FleetpulseError, fleetpulse_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def problem_response(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The problem as an answer, in the shape of the API that was asked; members that do not apply are left out."""
    path, status = request.url.path, HTTPStatus(problem.status)
    if path.startswith(("/api/v1/", "/api/v2/")) and status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST  # for these two 422 is what failed later than reading the request
    if path.startswith("/api/v1/"):
        kind = _PROMETHEUS_KINDS.get(status, "bad_data" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal")
        return JSONResponse({"status": "error", "errorType": kind, "error": problem.detail}, status, headers)
    if path.startswith("/api/v2/"):
        return JSONResponse(problem.detail, status, headers)
    return Response(problem.model_dump_json(exclude_none=True), status, headers=headers, media_type=PROBLEM_TYPE)


_PROMETHEUS_KINDS = {HTTPStatus.NOT_FOUND: "not_found", HTTPStatus.SERVICE_UNAVAILABLE: "unavailable"}


def rule_problem(complaint: RuleError) -> ParameterProblem:
    """A complaint about a rule, with its place."""
    return ParameterProblem(
        parameter="text",
        message=complaint.detail,
        file=complaint.file or None,
        line=complaint.line or None,
        field=complaint.field or None,
    )


def _problem(request: Request, status: HTTPStatus, detail: str) -> Problem:
    return Problem(title=status.phrase, status=status, detail=detail, instance=request.url.path)


async def fleetpulse_error(request: Request, error: Exception) -> Response:
    """An error of ours as a problem."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    problem = _problem(request, status, str(error))
    headers: dict[str, str] = {}
    if isinstance(error, NotFoundError):
        problem.nearest = error.nearest
    if isinstance(error, ParameterError):
        problem.errors = [ParameterProblem(parameter=error.parameter, message=error.message)]
    if isinstance(error, InvalidRulesError):
        problem.errors = [rule_problem(complaint) for complaint in error.complaints]
    if isinstance(error, NotReadyError):
        problem.checks = error.checks
    if isinstance(error, RetryableError):
        headers["Retry-After"] = "5"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, NotReadyError):
        log.warning("request failed: %s", error)
    return problem_response(request, problem, headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        ParameterProblem(parameter=".".join(str(part) for part in item["loc"][1:]), message=item["msg"])
        for item in error.errors()
    ]
    detail = "; ".join(f"{item.parameter}: {item.message}" for item in errors)
    problem = _problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    problem.errors = errors
    return problem_response(request, problem)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = error.detail if error.detail != status.phrase else f"there is no {request.method} {request.url.path}"
    if isinstance(error.__cause__, ValueError | RecursionError) and status == HTTPStatus.BAD_REQUEST:
        detail = _unread(error.__cause__)
    return problem_response(request, _problem(request, status, detail), dict(error.headers or {}))


def _unread(cause: BaseException) -> str:
    """Why a body is no JSON, where Python's reader has another error for it than for its syntax."""
    if isinstance(cause, UnicodeDecodeError):
        return f"the body is not UTF-8: byte {cause.start} is 0x{cause.object[cause.start]:02x}"
    if isinstance(cause, RecursionError):
        return "the body is nested too deeply"
    return "the body has a number with too many digits"


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback itself; the client learns nothing of our insides.
    problem = _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the log of the API has the cause")
    return problem_response(request, problem)
