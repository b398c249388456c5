"""`burnish serve`: the server's life."""

from __future__ import annotations

import secrets
import socket
from typing import Any

from burnish.core.errors import InputError, ResourceError
from burnish.core.events import Message
from burnish.jobs.folder import Job
from burnish.jobs.project import find_project
from burnish.options.serve import ServeOptions


def run(options: ServeOptions, job: Job) -> dict[str, Any]:
    """Serve a project until Ctrl-C."""
    project = find_project(options.project)
    if project is None:
        raise InputError(
            f"{options.project.resolve()}: not a project (no default_pipeline.star); `burnish project init` makes one"
        )
    try:
        import uvicorn  # an extra: jobs on a cluster need no server

        from burnish.web.server import create_app
    except ImportError as error:
        raise InputError(f"the web page needs the package {error.name}; pip install 'burnish[web]'") from None
    token = options.token or secrets.token_urlsafe(32)
    listener = _listen(options.host, options.port)
    port = listener.getsockname()[1]
    app = create_app(project, token, frozenset({options.host, "localhost", "127.0.0.1", "[::1]"}))
    job.notify(Message(f"Burnish serves {project.folder.resolve()} at"))
    job.notify(Message(f"  http://{options.host}:{port}/?token={token}"))
    job.notify(Message("Ctrl-C ends the server; jobs go on."))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    server.run(sockets=[listener])
    return {}


def _listen(host: str, port: int) -> socket.socket:
    """Bind to the port, or to the next free one where it is taken and was not asked for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + 50):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            return listener
        except OSError:
            listener.close()
    raise ResourceError(f"{host}: ports {port} to {port + 49} are taken; name another with --port")
