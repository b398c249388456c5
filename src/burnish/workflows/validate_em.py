"""The part of `burnish validate` that compares a model with cryo-EM maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import torch

from burnish.chemistry.residues import residue_views
from burnish.core.errors import InputError
from burnish.core.events import Event, Listener, Message
from burnish.data.atoms import Atoms
from burnish.data.density import DensityMap
from burnish.data.particle_symmetry import Symmetry
from burnish.io.models import ModelFile
from burnish.maps.weighted import weighted_map
from burnish.models.boxed_maps import box_maps
from burnish.models.copies import copied_positions, with_copies
from burnish.models.em_fit_maps import EmMapMaker
from burnish.models.map_term import MapTerm
from burnish.models.model_density import model_density
from burnish.models.protons import Protons
from burnish.options.refine import RefineOptions
from burnish.options.validate import ValidateOptions
from burnish.validate.map_validation import MapValidation, map_record, validate_in_map
from burnish.validate.model_validation import JudgedMaps
from burnish.workflows.map_symmetry import MapSymmetry, map_symmetry
from burnish.workflows.model_maps import (
    check_model_inside,
    check_resolution,
    read_density,
    read_maps,
    refuse_other_origin,
    tell_of_bad_agreement,
    tell_of_bad_halves,
    without_crystal,
)
from burnish.workflows.refine_em import compared_with_halves, refine_against
from burnish.workflows.refine_model import refinement_settings, restrained_model

SHAKEN = 0.3  # Å, rms along each axis together: beyond what refinement left of the other half map's noise
NYQUIST_SHARE = 1.02  # of the limit of the curve: the corner shells of the grid are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class MapJudgement:
    """A model compared with maps.

    Attributes
    ----------
    maps : on which residues are judged.
    symmetry : of the particle, for contacts; None without.
    found : scores in real space.
    record : what goes into `validation.json` under `map`.
    """

    maps: JudgedMaps
    symmetry: Symmetry | None
    found: MapValidation
    record: dict[str, Any]


def judge_in_maps(
    options: ValidateOptions, model: ModelFile, scattering: Atoms, protons: Protons, listener: Listener
) -> MapJudgement:
    """Read the maps, compare the model with them in Fourier space and in real space.

    Parameters
    ----------
    scattering : the model with the hydrogens that refinement gives it: they count in Fourier space.
    protons : of those hydrogens.
    """
    resolution = options.resolution or 0.0
    refine_options = _as_refinement(options)
    halves = read_maps([p for p in (options.half1, options.half2) if p is not None], options.angpix, listener)
    primary = None if options.map is None else read_density(options.map, options.angpix)
    if options.map is not None and primary is not None and options.half1 is not None:
        _refuse_shifted(options.map, primary, options.half1, halves[0])
    like = halves[0] if primary is None else primary
    heavy = torch.tensor([e not in ("H", "D") for e in model.atoms.elements])
    check_model_inside(options.model, model.atoms.xyz, like, listener)
    check_resolution(resolution, like, options.map or options.half1 or options.model)
    symmetry = map_symmetry(refine_options, like, model.atoms.xyz[heavy])
    maps = halves if halves else [like]
    term = _term(maps, scattering, protons, resolution, symmetry, resolution)
    tell_of_bad_halves(term.maps.shell_mean(term.maps.s2.sqrt()), term.half_fsc(), resolution, listener)
    tell_of_bad_agreement(term.fsc_average, listener)
    whole = _term(maps, scattering, protons, NYQUIST_SHARE * 2.0 * max(like.voxel_size), symmetry, resolution)
    _refuse_contour(options, like)
    density = primary if primary is not None else weighted_map(halves[0], halves[1], resolution)
    atoms = model.atoms if symmetry is None else with_copies(model.atoms, symmetry.density)
    calculated = model_density(atoms, density, resolution)
    if primary is None:  # made as flat as the half maps were
        calculated = weighted_map(calculated, calculated, resolution)
    radii = np.array([gemmi.Element(e).vdw_r if e not in ("H", "D") else 0.0 for e in model.atoms.elements])
    views = residue_views(model.structure[0])
    copies = None if symmetry is None else atoms.xyz[len(model.atoms) :]
    found = validate_in_map(density, calculated, model.atoms.xyz, radii, views, options.contour, copies)
    record = {"resolution": resolution, "fsc": _fsc_record(term, whole), **map_record(found, views, resolution)}
    if options.cross_validation:
        listener(Message("cross-validation: the shaken model is refined against half map 1 alone"))
        record["cross_validation"] = _cross_validation(refine_options, model, halves, symmetry)
    fit = EmMapMaker(term).fit_maps()
    return MapJudgement(
        maps=JudgedMaps(density=fit.density, calculated=fit.calculated, difference=fit.difference, d_min=fit.d_min),
        symmetry=None if symmetry is None else symmetry.contacts,
        found=found,
        record=record,
    )


def _refuse_shifted(path: Path, density: DensityMap, like_path: Path, like: DensityMap) -> None:
    """A map of the half maps' own grid lies where they do; one that was cut out of it may lie anywhere in it."""
    same_pixel = all(abs(a - b) < 1e-3 for a, b in zip(density.voxel_size, like.voxel_size, strict=True))
    if density.values.shape == like.values.shape and same_pixel:
        refuse_other_origin(path, density, like_path, like)


def _refuse_contour(options: ValidateOptions, primary: DensityMap) -> None:
    """A contour of a map must lie between its densities; that of half maps is of their sharpened mean."""
    low, high = float(primary.values.min()), float(primary.values.max())
    if options.map is not None and options.contour is not None and not low < options.contour < high:
        raise InputError(f"--contour {options.contour:g}: {options.map} has densities from {low:.4g} to {high:.4g}")


def _as_refinement(options: ValidateOptions) -> RefineOptions:
    """The same inputs as a refinement names them."""
    shared = ("model", "resolution", "angpix", "symmetry", "centre", "ligand", "monomers", "seed")
    given = {name: getattr(options, name) for name in shared}
    if options.half1 is not None:
        given |= {"half1": options.half1, "half2": options.half2}
    else:
        given["map"] = options.map
    return RefineOptions.model_validate({**given, "out": options.out})


def _term(
    maps: Sequence[DensityMap],
    atoms: Atoms,
    protons: Protons,
    resolution: float,
    symmetry: MapSymmetry | None,
    signal_to: float,
) -> MapTerm:
    """The maps near the model, the model scaled to them; half maps hold noise beyond `signal_to`, Å."""
    particle = None if symmetry is None else symmetry.density
    xyz = atoms.xyz[torch.tensor([e not in ("H", "D") for e in atoms.elements])]
    every = xyz if particle is None else copied_positions(xyz, particle)
    term = MapTerm(box_maps(maps, every, resolution, signal_to=signal_to), symmetry=particle, protons=protons)
    term.prepare(atoms)
    return term


def _fsc_record(term: MapTerm, whole: MapTerm) -> dict[str, Any]:
    """Average to the resolution, and the curve to Nyquist with its crossings."""
    maps = whole.maps
    s = maps.shell_mean(maps.s2.sqrt()).tolist()
    model, halves = whole.model_fsc().tolist(), whole.half_fsc()
    return {
        "average": round(term.fsc_average, 4),
        "resolution_0.5": crossing_at(s, model, 0.5),
        "resolution_0.143": crossing_at(s, model, 0.143),
        "resolution_halves_0.143": None if halves is None else crossing_at(s, halves.tolist(), 0.143),
        "s": [round(v, 5) for v in s],
        "model_map": [round(v, 4) for v in model],
        "half_maps": None if halves is None else [round(v, 4) for v in halves.tolist()],
        "coefficients": [int(n) for n in maps.count.tolist()],
    }


def crossing_at(s: Sequence[float], curve: Sequence[float], level: float) -> float | None:
    """Resolution to which a curve stays above a level, Å; None where it never was above."""
    if not curve or curve[0] < level:
        return None
    for k in range(1, len(curve)):
        if curve[k] < level:
            share = (curve[k - 1] - level) / (curve[k - 1] - curve[k])
            return round(1.0 / (s[k - 1] + share * (s[k] - s[k - 1])), 2)
    return round(1.0 / s[-1], 2)


def _cross_validation(
    options: RefineOptions, model: ModelFile, halves: Sequence[DensityMap], symmetry: MapSymmetry | None
) -> dict[str, float]:
    """Averages of the correlation with both half maps after refinement against the first alone."""
    structure = without_crystal(model.structure)
    generator = np.random.default_rng(options.seed)
    for site in structure[0].all():
        shift = generator.normal(scale=SHAKEN / np.sqrt(3.0), size=3)
        site.atom.pos = gemmi.Position(*(np.array(site.atom.pos.tolist()) + shift))
    _, _, refinable = restrained_model(options, structure, None, _quiet)
    if symmetry is not None:
        refinable = replace(refinable, crystal=symmetry.contacts)
    settings = refinement_settings(options)
    alone = refine_against(halves, refinable, settings, options, symmetry, _quiet, first_alone=True)
    compared = compared_with_halves(halves, refinable, options, symmetry, alone)
    return {"fsc_work": round(compared.fsc_work, 4), "fsc_free": round(compared.fsc_free, 4)}


def _quiet(event: Event) -> None:
    """Tell nobody."""
