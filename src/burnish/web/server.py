"""The web server of a project: pages, files, live events, and jobs started from forms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from starlette.middleware.base import BaseHTTPMiddleware

from burnish.core.errors import BurnishError
from burnish.jobs.project import Project
from burnish.web.jobs_view import list_jobs, read_events, show_job
from burnish.web.launch import form, launch, startable
from burnish.web.security import HEADER, REPORT_POLICY, Gate, resolve_inside
from burnish.web.session_routes import session_routes
from burnish.web.sessions import Sessions
from burnish.web.suggestions import list_inputs
from burnish.web.views import view_routes

POLL = 0.5  # s between looks at a job's event file
TEXT_SUFFIXES = {".star", ".log", ".txt", ".json", ".jsonl", ".xml", ".yaml", ".out", ".err", ".cif", ".pdb"}


def create_app(project: Project, token: str, hosts: frozenset[str]) -> FastAPI:
    """The application of one project.

    Parameters
    ----------
    token : secret that every request must show.
    hosts : names that the server answers for.
    """
    sessions = Sessions(project)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(sessions.close)

    app = FastAPI(title="Burnish", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.add_middleware(BaseHTTPMiddleware, dispatch=Gate(token, hosts))
    static = Path(str(package_files("burnish.web"))) / "static"
    app.mount("/static", StaticFiles(directory=static), name="static")
    index = (static / "index.html").read_text(encoding="utf-8")

    @app.exception_handler(BurnishError)
    async def refuse(request: Request, error: BurnishError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.get("/")
    async def page() -> HTMLResponse:
        # the page may know the token: only a holder of it gets the page, and no other site can read it
        return HTMLResponse(index.replace("{{token}}", token), headers={"Cache-Control": "no-store"})

    @app.get("/api/project")
    def about() -> dict[str, Any]:
        has_viewer = (static / "vendor" / "molstar" / "molstar.js").is_file()
        return {"name": project.folder.resolve().name, "viewer": has_viewer, "header": HEADER}

    app.include_router(_job_routes(project))
    app.include_router(_start_routes(project))
    app.include_router(_file_routes(project))
    app.include_router(view_routes(project))
    app.include_router(session_routes(project, sessions))
    return app


def _job_routes(project: Project) -> APIRouter:
    """The list of jobs, each of them, and its events as they come."""
    router = APIRouter()

    @router.get("/api/jobs")
    def jobs() -> list[dict[str, Any]]:
        project.mark_killed()
        return list_jobs(project)

    @router.get("/api/jobs/{kind}/{number}")
    def job(kind: str, number: str) -> dict[str, Any]:
        return show_job(project, f"{kind}/{number}")

    @router.get("/api/jobs/{kind}/{number}/status")
    def status(kind: str, number: str) -> dict[str, str]:
        return {"status": project.find(f"{kind}/{number}").status}

    @router.get("/api/jobs/{kind}/{number}/events")
    async def events(kind: str, number: str, request: Request, offset: int = 0) -> StreamingResponse:
        folder = project.folder / project.find(f"{kind}/{number}").name
        return StreamingResponse(_follow(folder, offset, request), media_type="text/event-stream")

    return router


def _start_routes(project: Project) -> APIRouter:
    """Forms, the files that may be put into them, and jobs started from them."""
    router = APIRouter()

    @router.get("/api/forms")
    def forms() -> list[dict[str, Any]]:
        return [form(command) for command in startable().values()]

    @router.get("/api/files")
    def suggested() -> list[str]:
        return list_inputs(project)

    @router.post("/api/start/{command}")
    async def start(command: str, request: Request) -> JSONResponse:
        known = startable().get(command)
        if known is None:
            raise HTTPException(404, f"no job type {command!r}")
        try:
            given = json.loads(await request.body())
            return JSONResponse({"job": launch(project, known, given)})
        except ValidationError as error:
            return JSONResponse({"error": "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())}, 422)
        except (ValueError, TypeError):
            return JSONResponse({"error": "the options are not a JSON object"}, 422)

    return router


def _file_routes(project: Project) -> APIRouter:
    """Files of the project, as what a browser may show."""
    router = APIRouter()

    @router.get("/files/{path:path}")
    def file(path: str) -> Response:
        found = resolve_inside(project.folder, path)
        if found.suffix == ".html":
            return FileResponse(found, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})
        plain = found.suffix in TEXT_SUFFIXES
        return FileResponse(found, media_type="text/plain; charset=utf-8" if plain else None)

    return router


async def _follow(folder: Path, offset: int, request: Request) -> AsyncIterator[str]:
    """Send the events of a job as they come; every message carries the offset to resume from."""
    while not await request.is_disconnected():
        new, offset = await asyncio.to_thread(read_events, folder, offset)
        if new:
            yield f"id: {offset}\ndata: {json.dumps(new)}\n\n"
        else:
            yield ": still here\n\n"
        await asyncio.sleep(POLL)
