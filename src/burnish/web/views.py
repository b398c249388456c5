"""What the page draws of a job: maps for the viewer, sections, curves and tables, read from files at each request."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from PIL import Image

from burnish.core.errors import DataError, InputError
from burnish.jobs.project import Project
from burnish.web.jobs_view import job_folder, list_maps
from burnish.web.security import resolve_inside
from burnish.web.served_maps import Box, CrystalMaps, box_of_file, ccp4_bytes, overview, section
from burnish.web.star_tables import fsc_curves, guinier_points, micrograph_particles, micrographs, particle_views

MOST_RADIUS = 40.0  # Å
PARTICLE_FILES = ("particles_ctf_refine.star", "run_data.star", "particles.star")
MODEL_FILES = ("run_model.star", "run_half1_model.star")


def view_routes(project: Project) -> APIRouter:
    """Routes that show and change nothing."""
    routes = APIRouter()
    crystals = CrystalMaps()

    @routes.get("/maps/{path:path}")
    def map_part(path: str, kind: str = "overview", centre: str = "", radius: float = 14.0) -> Response:
        found = resolve_inside(project.folder, path)
        if kind == "overview":
            served = overview(found)
        else:
            box = Box(centre=_triple(centre), radius=min(max(radius, 2.0), MOST_RADIUS))
            served = crystals.box(found, kind, box) if found.suffix == ".mtz" else box_of_file(found, box)
        return Response(ccp4_bytes(served), media_type="application/octet-stream")

    @routes.get("/sections/{path:path}")
    def picture(path: str, axis: int = 2, fraction: float = 0.5, most: int = 400) -> Response:
        if axis not in (0, 1, 2):
            raise HTTPException(400, "axis must be 0, 1 or 2")
        grey = section(resolve_inside(project.folder, path), axis, fraction, most=min(max(most, 16), 1200))
        file = io.BytesIO()
        Image.fromarray(grey[::-1]).save(file, "PNG")  # y upwards
        return Response(file.getvalue(), media_type="image/png")

    @routes.get("/api/jobs/{kind}/{number}/images")
    def images(kind: str, number: str) -> dict[str, Any]:
        folder = job_folder(project, f"{kind}/{number}")
        return _em_summary(project, folder)

    @routes.get("/api/jobs/{kind}/{number}/micrograph")
    def micrograph(kind: str, number: str, name: str) -> list[dict[str, float]]:
        path = _particle_file(job_folder(project, f"{kind}/{number}"))
        return [] if path is None else _particles_of(path, path.stat().st_mtime_ns, name)

    return routes


def _triple(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(v) for v in text.split(","))
    except ValueError:
        raise InputError(f"centre {text!r}: expected x,y,z in Å") from None
    return x, y, z


def _em_summary(project: Project, folder: Path) -> dict[str, Any]:
    """Curves and tables of a cryo-EM job; what a job does not have is absent."""
    found: dict[str, Any] = {"maps": list_maps(project, folder)}
    star = folder / "postprocess.star"
    curves = next(
        (
            p
            for p in (star, *(folder / n for n in MODEL_FILES), *_last(folder, "run_it*_half1_model.star"))
            if p.is_file()
        ),
        None,
    )
    if curves is not None:
        found["fsc"] = fsc_curves(curves)
    if star.is_file():
        found["guinier"] = guinier_points(star)
    particles = _particle_file(folder)
    if particles is not None:
        found["particle_file"] = particles.name
        found |= _of_particles(particles, particles.stat().st_mtime_ns)
        found["micrographs"] = [
            {**m, "here": _is_inside(project.folder, m["name"])} for m in found.get("micrographs", ())
        ]
    found["pictures"] = sorted(
        str(p.relative_to(project.folder)) for p in folder.glob("*.png") if p.name != "report.png" and p.is_file()
    )
    return found


def _is_inside(root: Path, name: str) -> bool:
    """Whether the page may show a file of that name."""
    try:
        resolve_inside(root, name)
    except HTTPException:
        return False
    return True


def _particle_file(folder: Path) -> Path | None:
    """The particles of a job, as it left them or as they stand after its last iteration."""
    names = [*(folder / n for n in PARTICLE_FILES), *_last(folder, "run_it*_data.star")]
    return next((p for p in names if p.is_file()), None)


def _last(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))[-1:]


@lru_cache(maxsize=8)
def _of_particles(path: Path, modified: int) -> dict[str, Any]:
    try:
        return {"views": particle_views(path), "micrographs": micrographs(path)}
    except DataError as error:
        return {"message": str(error)}


@lru_cache(maxsize=32)
def _particles_of(path: Path, modified: int, name: str) -> list[dict[str, float]]:
    return micrograph_particles(path, name)
