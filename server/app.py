"""The Flask application: control routes, health and metrics. Predictions and outcomes never come here (see `server.hot`)."""

from __future__ import annotations

from flask import Flask, Response, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from core.errors import TiltyardError
from flows.serving import Routes
from server.api import aliases, audit, drift, endpoints, experiments, features, health, metrics, models, versions
from server.auth import Guard
from server.errors import JSON, PROBLEM, headers_of, problem, status_of, store_unavailable, v2_error
from server.home import Home


def create_app(home: Home, routes: Routes, guard: Guard) -> Flask:
    """The application of one worker."""
    app = Flask("tiltyard", static_folder=None)
    app.extensions.update({"tiltyard": home, "tiltyard-routes": routes, "tiltyard-guard": guard})
    for module in (endpoints, drift, metrics, models, versions, aliases, experiments, features, audit, health):
        app.register_blueprint(module.blueprint)
    app.register_error_handler(TiltyardError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OperationalError, _store)
    return app


def _known(error: TiltyardError) -> Response:
    return _response(error, status_of(error))


def _store(error: OperationalError) -> Response:
    return _known(store_unavailable(error))


def _http(error: HTTPException) -> Response:
    """What Flask itself refuses (no such route, another method) in the form of our own errors."""
    status = error.code or 500, error.name or "Error"
    code = "route-not-found" if status[0] == 404 else status[1].lower().replace(" ", "-")
    return _response(TiltyardError(f"{request.method} {request.path[:200]}: {status[1]}", code=code), status)


def _response(error: TiltyardError, status: tuple[int, str]) -> Response:
    v2 = request.path.startswith("/v2/")
    body = v2_error(error) if v2 else problem(error, status)
    return Response(body, status[0], headers_of(error), content_type=JSON if v2 else PROBLEM)
