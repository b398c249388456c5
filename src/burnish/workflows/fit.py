"""`burnish fit`: a model placed in a map as a rigid body."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import torch

from burnish.core.errors import DataError
from burnish.core.events import Message
from burnish.core.units import RAD_PER_DEG
from burnish.data.atoms import Atoms
from burnish.data.density import DensityMap
from burnish.io.atomic import write_aside, write_text
from burnish.io.model_writer import why_not_pdb, write_changed_cif
from burnish.io.models import read_model, with_atoms
from burnish.jobs.folder import Job
from burnish.models.placement import Placement, PlacementSettings, place_globally, place_locally
from burnish.options.fit import FitOptions
from burnish.workflows.model_maps import check_model_inside, check_resolution, read_density

POOR = 0.3  # correlation about the model below which a place is hardly the right one
CUBIC = 1.01  # longest over shortest edge of a voxel that counts as a cube
CLOSE = 0.9  # share of the best correlation from which a second place is worth a word


def run(options: FitOptions, job: Job) -> dict[str, Any]:
    """Read, search, write the model at its best place."""
    model = read_model(options.model)
    for message in model.messages:
        job.notify(message)
    density = read_density(options.map, options.angpix)
    check_resolution(options.resolution, density, options.map)
    _refuse_oblong_voxels(density, options.map)
    heavy = torch.tensor([element not in ("H", "D") for element in model.atoms.elements])
    if not bool(heavy.any()):
        raise DataError(f"{options.model}: holds hydrogens only; expected a model with other atoms")
    xyz = model.atoms.xyz[heavy]
    if options.local:
        check_model_inside(options.model, xyz, density, job.notify)
    electrons = _electrons(model.atoms)
    settings = PlacementSettings(
        resolution=options.resolution,
        search_resolution=options.search_resolution,
        step=None if options.step_deg is None else options.step_deg * RAD_PER_DEG,
        candidates=options.candidates,
    )
    job.begin([options.model, options.map])
    if options.local:
        places = [place_locally(density, xyz, electrons[heavy], settings)]
    else:
        places = place_globally(density, xyz, electrons[heavy], settings, job.notify)
    best = places[0]
    _judge(places, job)
    moved = best.apply(model.atoms.xyz)
    structure = with_atoms(model.structure, _turned(model.atoms, moved, best))
    structure.spacegroup_hm, structure.cell = "P 1", gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    structure.ncs.clear()  # operators of where the model stood before
    if not all(op.transform.is_identity() for a in structure.assemblies for g in a.generators for op in g.operators):
        structure.assemblies.clear()
    write_changed_cif(job.path("fitted.cif"), model, structure, placed=True)
    job.path("fitted.pdb").unlink(missing_ok=True)  # of an earlier job in this folder
    if why_not_pdb(structure) is None:
        with write_aside(job.path("fitted.pdb")) as aside:
            structure.write_pdb(str(aside))
    record = {"places": [_place_record(p) for p in places[:20]]}
    write_text(job.path("fit.json"), json.dumps(record, indent=1) + "\n")
    moved_by = float((moved - model.atoms.xyz).square().sum(1).mean().sqrt())
    return {
        "correlation": best.correlation,
        "mean_density_sigma": best.score,
        "second_correlation": places[1].correlation if len(places) > 1 else None,
        "moved_rms": moved_by,
        "places": len(places),
    }


def _refuse_oblong_voxels(density: DensityMap, path: Path) -> None:
    """The search turns the model on a grid of cubic voxels."""
    x, y, z = density.voxel_size
    if max(x, y, z) > CUBIC * min(x, y, z):
        raise DataError(
            f"{path}: voxels of {x:g} × {y:g} × {z:g} Å; expected cubic ones; give --angpix where the header is wrong"
        )


def _electrons(atoms: Atoms) -> torch.Tensor:
    """Electrons of each atom, as far as it is there: alternate conformers share theirs. (n,) float64"""
    electrons = torch.tensor([gemmi.Element(e).atomic_number for e in atoms.elements], dtype=torch.float64)
    return electrons * atoms.occ


def _judge(places: list[Placement], job: Job) -> None:
    best = places[0]
    if best.correlation < POOR:
        job.notify(
            Message(
                f"the best place has a correlation of {best.correlation:.2f}: probably not the right one. Is the hand "
                "of the map right, its pixel size, the resolution?",
                "warning",
            )
        )
    others = [p for p in places[1:] if p.correlation > CLOSE * best.correlation]
    if others:
        job.notify(
            Message(
                f"{len(others)} more places with at least {CLOSE:.0%} of the best correlation: copies by symmetry, or "
                "a map that does not decide; see fit.json"
            )
        )


def _turned(atoms: Atoms, moved: torch.Tensor, place: Placement) -> Atoms:
    """Atoms at their new positions, anisotropic tensors turned along."""
    u = atoms.u_aniso[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    turned = (place.rotation @ u @ place.rotation.T).reshape(-1, 9)[:, [0, 4, 8, 1, 2, 5]]
    return replace(atoms, xyz=moved, u_aniso=turned)


def _place_record(place: Placement) -> dict[str, Any]:
    return {
        "correlation": place.correlation,
        "mean_density_sigma": place.score,
        "rotation": place.rotation.tolist(),
        "translation": place.translation.tolist(),
    }
