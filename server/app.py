"""The Flask application: control routes, health and metrics. Predictions and outcomes never come here (see `server.hot`)."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from core.errors import TiltyardError
from flows.serving import Routes
from server.api import audit, endpoints, experiments, health, models
from server.auth import Guard
from server.errors import JSON, PROBLEM, headers_of, problem, status_of, v2_error
from server.home import Home


def create_app(home: Home, routes: Routes, guard: Guard) -> Flask:
    """The application of one worker."""
    app = Flask("tiltyard", static_folder=None)
    app.extensions.update({"tiltyard": home, "tiltyard-routes": routes, "tiltyard-guard": guard})
    for module in (endpoints, models, experiments, audit, health):
        app.register_blueprint(module.blueprint)
    app.register_error_handler(TiltyardError, _known)
    app.register_error_handler(HTTPException, _http)
    return app


def _known(error: TiltyardError) -> Response:
    return _response(error, status_of(error)[0])


def _http(error: HTTPException) -> Response:
    """What Flask itself refuses (no such route, another method) in the form of our own errors."""
    name = error.name or "error"
    code = "route-not-found" if error.code == 404 else name.lower().replace(" ", "-")
    return _response(TiltyardError(f"{request.method} {request.path[:200]}: {name}", code=code), error.code or 500)


def _response(error: TiltyardError, code: int) -> Response:
    v2 = request.path.startswith("/v2/")
    return Response(v2_error(error) if v2 else problem(error), code, headers_of(error), content_type=JSON if v2 else PROBLEM)
