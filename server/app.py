"""The Flask application: control routes, health and metrics. Predictions and outcomes never come here (see `server.hot`)."""

from __future__ import annotations

from flask import Flask, Response
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
    from flask import request

    code, _ = status_of(error)
    v2 = request.path.startswith("/v2/")
    return Response(v2_error(error) if v2 else problem(error), code, headers_of(error), content_type=JSON if v2 else PROBLEM)


def _http(error: HTTPException) -> Response:
    """What Flask itself refuses (no such route, another method) in the form of our own errors."""
    from flask import request

    class _Other(TiltyardError):
        code = (error.name or "error").lower().replace(" ", "-")

    found = _Other(f"{request.method} {request.path[:200]}: {error.name}")
    return Response(problem(found), error.code or 500, content_type=PROBLEM)
