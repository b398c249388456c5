"""`burnish deposit` of a model refined against maps: model, primary map, half maps, mask, FSC curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from burnish.core.errors import InputError
from burnish.data.density import DensityMap
from burnish.fourier.shells import sum_shells
from burnish.io.atomic import write_text
from burnish.io.deposition.categories import fill, write_block
from burnish.io.deposition.em import Experiment, MapFile, Reconstruction, em_categories, read_particle_facts
from burnish.io.deposition.model import model_categories
from burnish.io.deposition.requirements import (
    ELECTRON_MICROSCOPY,
    find_missing,
    lay_over,
    read_metadata,
    template,
)
from burnish.io.mrc import read_map, write_map
from burnish.io.postprocess_star import PostprocessFile, read_postprocess, write_fsc_curve
from burnish.jobs.folder import Job
from burnish.jobs.record import read_record
from burnish.maps.fsc_correction import masked_fsc
from burnish.options.base import ANGPIX
from burnish.options.deposit import DepositOptions
from burnish.options.validate import ValidateOptions
from burnish.symmetry.point_groups import canonical_name
from burnish.validate.geometry import geometry_record, validate_geometry
from burnish.workflows import validate
from burnish.workflows.deposition import (
    Gathered,
    Source,
    check_files,
    finish,
    input_files,
    prepare,
    read_dictionary,
)
from burnish.workflows.ligand_requests import ligand_requests

MODEL = "model.cif"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmInputs:
    """Maps and curves of the deposition.

    Attributes
    ----------
    maps : to write, the primary map first.
    spacing, fsc : curve of the half maps by s, Å⁻¹; None without half maps.
    curve : what kind of curve it is.
    files : that were read.
    resolution : of the post-processing, None without.
    reconstruction : that made the half maps, None where it was not Burnish's.
    averaged : the primary map is the mean of the half maps.
    """

    maps: tuple[MapFile, ...]
    spacing: torch.Tensor | None
    fsc: torch.Tensor | None
    curve: str
    files: tuple[Path, ...]
    resolution: float | None
    reconstruction: Reconstruction | None
    averaged: bool


def run(options: DepositOptions, job: Job, source: Source) -> dict[str, Any]:
    """Read refinement and maps, write the folder."""
    sequenced, library = prepare(options, source, job)
    given = read_metadata(options.metadata) if options.metadata is not None else {}
    dictionary = read_dictionary(options)
    inputs = read_em_inputs(options, source)
    particles = read_particle_facts(options.particles) if options.particles is not None else None
    structure = sequenced.structure
    categories = model_categories(structure, library.monlib, source.block, sequenced.entity_ids)
    for name in ("cell", "symmetry", "exptl_crystal", "diffrn", "reflns"):
        categories.pop(name, None)  # a single particle has no crystal
    geometry = geometry_record(validate_geometry(structure, library.monlib))
    symmetry = options.symmetry or source.options.get("symmetry")
    if symmetry is not None:
        canonical_name(symmetry)  # refuses what is no point group
    experiment = Experiment(particles=particles, symmetry=symmetry, reconstruction=inputs.reconstruction)
    em_categories(categories, structure, source.record, geometry, inputs.maps, experiment)
    if inputs.resolution is not None:
        fill(categories, "em_3d_reconstruction", {"resolution": f"{inputs.resolution:.2f}"}, over=True)
    lay_over(categories, given)
    missing = find_missing(categories, ELECTRON_MICROSCOPY)
    job.begin([*input_files(options, source), *inputs.files, *([options.particles] if options.particles else [])])
    write_block(job.path(MODEL), structure.name, categories)
    for item in inputs.maps:
        write_map(job.path(item.file), item.density)
    files = [MODEL, *(m.file for m in inputs.maps), *_write_curves(job, source, inputs)]
    write_text(job.path("to_fill_in.yaml"), template(missing))
    fit_together = not _same_grid(tuple(m for m in inputs.maps if m.kind != "mask"))
    judged = _judge(options, source, inputs, job) if options.validate_files and fit_together else {}
    done = Gathered(
        name=structure.name,
        categories=categories,
        missing=missing,
        checks=check_files(dictionary, job, [MODEL]),
        findings=[*_lacking(inputs), *_same_grid(inputs.maps)],
        judged=judged,
        sequenced=sequenced,
        files=files,
    )
    return finish(job, done)


def read_em_inputs(options: DepositOptions, source: Source) -> EmInputs:
    """Half maps of the refinement, the primary map and mask of the post-processing, and their FSC."""
    pixel = next((v for n in ANGPIX.choices if (v := source.options.get(str(n))) is not None), None)
    star = _read_star(options)
    half_names = _half_names(source, star)
    halves = [read_map(p, voxel_size=pixel) for p in half_names]
    primary_name = _primary_name(options, source)
    if primary_name is not None:
        primary = read_map(primary_name, voxel_size=pixel)
    elif halves:
        primary = replace(halves[0], values=0.5 * (halves[0].values + halves[1].values))
    else:
        raise InputError("no primary map: give --primary-map, or --postprocess with the folder of the post-processing")
    mask_name = options.mask or (_existing(star.mask, options) if star is not None and star.mask else None)
    mask = read_map(mask_name, voxel_size=pixel) if mask_name is not None else None
    maps = [MapFile(file="primary_map.mrc", kind="primary map", density=primary, contour=options.contour)]
    maps += [MapFile(file=f"half_map_{i}.mrc", kind="half map", density=h) for i, h in enumerate(halves, start=1)]
    if mask is not None:
        maps.append(MapFile(file="mask.mrc", kind="mask", density=mask))
    spacing, fsc, curve = _fsc(star, halves, mask)
    named = [*half_names, *(p for p in (primary_name, mask_name) if p is not None)]
    return EmInputs(
        maps=tuple(maps),
        spacing=spacing,
        fsc=fsc,
        curve=curve,
        files=tuple(named),
        resolution=star.resolution if star is not None else None,
        reconstruction=_reconstruction_of(half_names),
        averaged=primary_name is None,
    )


def _reconstruction_of(half_names: list[Path]) -> Reconstruction | None:
    """The 3D refinement in whose folder the half maps lie."""
    record = read_record(half_names[0].parent) if half_names else None
    if record is None or record.job_type != "refine3d":
        return None
    return Reconstruction(version=record.version, ctf=bool(record.options.get("ctf_correction", True)))


def _read_star(options: DepositOptions) -> PostprocessFile | None:
    if options.postprocess is None:
        return None
    path = options.postprocess / "postprocess.star"
    if not path.is_file():
        raise InputError(f"{options.postprocess}: no postprocess.star in it; expected the folder of a post-processing")
    return read_postprocess(path)


def _half_names(source: Source, star: PostprocessFile | None) -> list[Path]:
    """Half maps of the refinement, else those that the post-processing names."""
    names = [source.options.get("half1"), source.options.get("half2")]
    if not all(names) and star is not None:
        names = [star.half1, star.half2]
    found = [Path(str(n)) for n in names if n]
    for path in found:
        if not path.is_file():
            raise InputError(f"{path}: no such half map, though the refinement used it; run from the same folder")
    return found if len(found) == 2 else []


def _primary_name(options: DepositOptions, source: Source) -> Path | None:
    if options.primary_map is not None:
        return options.primary_map
    if options.postprocess is not None:
        return options.postprocess / "postprocess.mrc"
    single = source.options.get("map")
    return Path(single) if single else None


def _existing(name: str, options: DepositOptions) -> Path | None:
    """A file that a STAR names, relative to here or to the folder of the STAR."""
    for path in (Path(name), (options.postprocess or Path()) / name, (options.postprocess or Path()) / Path(name).name):
        if path.is_file():
            return path
    return None


def _fsc(
    star: PostprocessFile | None, halves: list[DensityMap], mask: DensityMap | None
) -> tuple[torch.Tensor | None, torch.Tensor | None, str]:
    """Curve of the half maps: of the post-processing, else corrected for the mask, else as the maps are."""
    if star is not None:
        return star.spacing, star.fsc, "masked-corrected"
    if not halves:
        return None, None, ""
    one, two = halves[0].values, halves[1].values
    f1, f2 = torch.fft.rfftn(one), torch.fft.rfftn(two)
    length = max(one.shape) * halves[0].voxel_size[0]
    if mask is not None and mask.values.shape == one.shape:
        generator = torch.Generator().manual_seed(1)
        curve, kind = masked_fsc(one, two, f1, f2, mask.values, generator).corrected, "masked-corrected"
    else:
        curve, kind = sum_shells(f1, f2, one.shape).correlation, "unmasked"
    return torch.arange(len(curve), dtype=torch.float64) / length, curve, kind


def _write_curves(job: Job, source: Source, inputs: EmInputs) -> list[str]:
    """FSC of the half maps, and of model and map, in the EMDB's XML."""
    files = []
    if inputs.spacing is not None and inputs.fsc is not None:
        write_fsc_curve(
            job.path("fsc.xml"), inputs.spacing.tolist(), inputs.fsc.tolist(), f"Burnish {inputs.curve} FSC"
        )
        files.append("fsc.xml")
    shells = source.record["shells"]
    s = [0.5 * (1.0 / x["d_max"] + 1.0 / x["d_min"]) for x in shells]
    values = [x["fsc_model"] if x["fsc_model"] is not None else 0.0 for x in shells]
    write_fsc_curve(job.path("model_map_fsc.xml"), s, values, "Burnish model-map FSC")
    return [*files, "model_map_fsc.xml"]


def _lacking(inputs: EmInputs) -> list[str]:
    """What the EMDB asks for, or readers expect, and is not among the maps."""
    found = []
    if inputs.averaged:
        found.append(
            "primary_map.mrc is the mean of the half maps, not sharpened; give the map that you looked at with "
            "--primary-map, or --postprocess"
        )
    if not any(item.kind == "half map" for item in inputs.maps):
        found.append("no half maps, which the EMDB asks for; give --postprocess with the folder that names them")
    return found


def _same_grid(maps: tuple[MapFile, ...]) -> list[str]:
    """The EMDB takes primary map, half maps and masks of one grid only."""
    first = maps[0]
    found = []
    for item in maps[1:]:
        ours, theirs = item.density, first.density
        size = ours.values.shape == theirs.values.shape
        pixel = all(abs(a - b) < 1e-4 * a for a, b in zip(ours.voxel_size, theirs.voxel_size, strict=True))
        origin = all(abs(a - b) < 1e-2 for a, b in zip(ours.origin, theirs.origin, strict=True))
        if not (size and pixel and origin):
            what = "size" if not size else "pixel size" if not pixel else "origin"
            found.append(f"{item.file} and {first.file} differ in {what}; the EMDB takes maps of one grid")
    return found


def _judge(options: DepositOptions, source: Source, inputs: EmInputs, job: Job) -> dict[str, Any]:
    """The written model against the written maps."""
    inner = Job("validate", job.folder, {}, job.listener, keeps_record=False)
    halves = [job.path(m.file) for m in inputs.maps if m.kind == "half map"]
    maps: dict[str, Any] = {"map": job.path(inputs.maps[0].file)}
    if len(halves) == 2:
        maps |= {"half1": halves[0], "half2": halves[1]}
    asked = ValidateOptions.model_validate(
        {
            **maps,
            "resolution": source.record["resolution"],
            "symmetry": source.options.get("symmetry"),
            "model": job.path(MODEL),
            "out": job.folder,
            "ligand": options.ligand or ligand_requests(source.options.get("ligand") or ()).files,
            "monomers": options.monomers or source.options.get("monomers"),
        }
    )
    return validate.run(asked, inner)
