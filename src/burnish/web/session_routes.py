"""Requests that open and steer sessions of hand editing; all of them need the token in a header."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from burnish.core.errors import InputError
from burnish.jobs.project import Project
from burnish.web.security import resolve_inside
from burnish.web.sessions import Sessions

REQUESTS = ("model", "save", "map", "finish")


def session_routes(project: Project, sessions: Sessions) -> APIRouter:
    """Routes of the hand tools."""
    routes = APIRouter()

    @routes.get("/api/sessions")
    def listed() -> list[str]:
        return sessions.listed()

    @routes.post("/api/sessions")
    async def start(request: Request) -> dict[str, Any]:
        given = await _body(request)
        files = [given.get("model"), given.get("map"), *(given.get("ligand") or [])]
        if not all(isinstance(f, str) for f in files):
            raise InputError("expected model and map, files of this project")
        model, density, *ligands = (resolve_inside(project.folder, f) for f in files)
        return await asyncio.to_thread(sessions.start, model, density, tuple(ligands))

    @routes.post("/api/sessions/{kind}/{number}/open")
    async def resume(kind: str, number: str) -> dict[str, Any]:
        return await asyncio.to_thread(sessions.resume, f"{kind}/{number}")

    @routes.post("/api/sessions/{kind}/{number}")
    async def command(kind: str, number: str, request: Request) -> dict[str, Any]:
        given = await _body(request)
        if "do" in given and given["do"] not in REQUESTS:
            raise HTTPException(404, "no such request")
        wanted = {"do": given["do"]} if "do" in given else {"command": given.get("command")}
        if given.get("do") == "map":
            wanted["map"] = _inside(project, str(given.get("map")))
        answer = await asyncio.to_thread(sessions.ask, f"{kind}/{number}", wanted)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer

    return routes


def _inside(project: Project, name: str) -> str:
    """A file of the project by its path there."""
    return str(resolve_inside(project.folder, name).relative_to(project.folder.resolve()))


async def _body(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.body())
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InputError("the request is not a JSON object")
    return given
