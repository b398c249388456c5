"""Categories of a cryo-EM entry: reconstruction, maps, fitting, and what the particles say of the microscope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from torch import Tensor

from burnish import __version__
from burnish.core.errors import DataError
from burnish.data.density import DensityMap
from burnish.io.deposition.assembly import point_assembly
from burnish.io.deposition.categories import Categories, Category, fill, number, one_row, row_count, rows
from burnish.io.deposition.refinement import atom_counts, restraint_table, software_table
from burnish.io.star import read_star

METHOD = "ELECTRON MICROSCOPY"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFile:
    """A map of the deposition: its name in the folder, kind, and grid."""

    file: str
    kind: str  # "primary map", "half map", "mask" or "additional map"
    density: DensityMap
    contour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Particles:
    """What a STAR file of particles says of the experiment; None where it does not."""

    count: int
    voltage_kv: float | None
    cs_mm: float | None
    defocus_nm: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """A 3D refinement of Burnish that made the half maps: its version, and whether it corrected for the CTF."""

    version: str
    ctf: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is known of how the maps were made; None where it is not.

    Attributes
    ----------
    particles : of the STAR file.
    symmetry : point group.
    reconstruction : None where another program made the half maps.
    """

    particles: Particles | None = None
    symmetry: str | None = None
    reconstruction: Reconstruction | None = None


def read_particle_facts(path: Path) -> Particles:
    """Number of particles, voltage, spherical aberration and range of defocus of a STAR file (RELION 3.0 to 5)."""
    star = read_star(path)
    table = next((t for t in star if "rlnImageName" in t), None)
    if table is None:
        raise DataError(f"{path}: no rlnImageName in any table; give the STAR file of the refined particles")
    optics = next((t for t in star if t.name == "optics"), table)

    def first(column: str) -> float | None:
        return float(optics.floats(column)[0]) if column in optics else None

    defocus = None
    if "rlnDefocusU" in table:
        values = table.floats("rlnDefocusU") / 10.0
        defocus = (float(values.min()), float(values.max()))
    return Particles(
        count=len(table), voltage_kv=first("rlnVoltage"), cs_mm=first("rlnSphericalAberration"), defocus_nm=defocus
    )


def em_categories(
    categories: Categories,
    structure: gemmi.Structure,
    record: dict[str, Any],
    geometry: dict[str, Any],
    maps: Sequence[MapFile],
    experiment: Experiment,
) -> None:
    """Add what refinement, maps and particles say; what the model's file said already stays.

    Parameters
    ----------
    categories : of the model; changed.
    structure : refined model.
    record : of the refinement.
    geometry : count, rmsd and mean_sigma by kind.
    maps : of the deposition.
    experiment : how they were made.
    """
    name = structure.name
    resolution, final = record["resolution"], record["final"]
    if len(structure.ncs) > 0:  # the operators that the refinement obeyed
        point_assembly(categories, structure)
    fill(categories, "exptl", {"entry_id": name, "method": METHOD})
    fill(categories, "em_experiment", {
        "id": "1", "entry_id": name, "reconstruction_method": "SINGLE PARTICLE", "aggregation_state": "PARTICLE",
        "entity_assembly_id": "1",
    })  # fmt: skip
    polymers = [e.name for e in structure.entities if e.entity_type == gemmi.EntityType.Polymer]
    fill(categories, "em_entity_assembly", {
        "id": "1", "parent_id": "0", "type": "COMPLEX", "entity_id_list": ",".join(polymers),
    })  # fmt: skip
    fill(categories, "em_specimen", {
        "id": "1", "experiment_id": "1", "vitrification_applied": "YES", "staining_applied": "NO",
        "shadowing_applied": "NO", "embedding_applied": "NO",
    })  # fmt: skip
    fill(categories, "em_image_processing", {"id": "1", "image_recording_id": "1"})
    _reconstruction(categories, name, resolution, maps, experiment)
    _microscope(categories, experiment.particles)
    fill(categories, "em_3d_fitting", {
        "id": "1", "entry_id": name, "ref_space": "RECIPROCAL", "target_criteria": "MAXIMUM LIKELIHOOD",
        "overall_b_value": number(final.get("b_mean"), 2),
    })  # fmt: skip
    on_halves = " ON HALF MAPS" if len(record["maps"]) == 2 else ""
    categories["refine"] = _refine(name, resolution, final, structure, f"MAXIMUM LIKELIHOOD{on_halves}")
    categories["refine_hist"] = atom_counts(structure, METHOD, None)
    categories["refine_hist"]["d_res_high"] = [number(resolution, 2)]
    categories["refine_ls_restr"] = restraint_table(geometry, METHOD)
    categories["em_map"] = map_table(maps, name)
    categories["software"] = software_table(categories)
    _software(categories, experiment.reconstruction)


def _reconstruction(
    categories: Categories,
    name: str,
    resolution: float,
    maps: Sequence[MapFile],
    experiment: Experiment,
) -> None:
    particles = experiment.particles
    halves = any(m.kind == "half map" for m in maps)
    fill(categories, "em_3d_reconstruction", {
        "id": "1", "entry_id": name, "image_processing_id": "1", "resolution": number(resolution, 2),
        "resolution_method": "FSC 0.143 CUT-OFF" if halves else None,
        "refinement_type": "HALF-MAPS REFINED INDEPENDENTLY" if halves else None,
        "num_particles": particles.count if particles is not None else None, "symmetry_type": "POINT",
        "actual_pixel_size": number(maps[0].density.voxel_size[0], 4),
    })  # fmt: skip
    fill(categories, "em_single_particle_entity", {
        "id": "1", "entry_id": name, "image_processing_id": "1", "point_symmetry": experiment.symmetry,
    })  # fmt: skip
    if experiment.reconstruction is not None and experiment.reconstruction.ctf:
        fill(categories, "em_ctf_correction", {
            "id": "1", "em_image_processing_id": "1", "type": "PHASE FLIPPING AND AMPLITUDE CORRECTION",
        })  # fmt: skip


def _microscope(categories: Categories, particles: Particles | None) -> None:
    if particles is None:
        return
    low, high = particles.defocus_nm or (None, None)
    fill(categories, "em_imaging", {
        "accelerating_voltage": None if particles.voltage_kv is None else f"{particles.voltage_kv:.0f}",
        "nominal_cs": number(particles.cs_mm, 2), "nominal_defocus_min": number(low, 0),
        "nominal_defocus_max": number(high, 0),
    })  # fmt: skip


def _refine(name: str, resolution: float, final: dict[str, Any], structure: gemmi.Structure, target: str) -> Category:
    b = [c.atom.b_iso for c in structure[0].all() if not c.atom.is_hydrogen()]
    return one_row(
        {
            "entry_id": name, "pdbx_refine_id": METHOD, "ls_d_res_high": number(resolution, 2),
            "B_iso_mean": number(float(np.mean(b)), 2), "B_iso_min": number(min(b), 2), "B_iso_max": number(max(b), 2),
            "pdbx_stereochemistry_target_values": target,
            "pdbx_average_fsc_overall": number(final.get("fsc_average"), 4),
            "pdbx_average_fsc_work": number(final.get("fsc_work"), 4),
            "pdbx_average_fsc_free": number(final.get("fsc_free"), 4),
        }
    )  # fmt: skip


def map_table(maps: Sequence[MapFile], entry: str) -> Category:
    """`_em_map`: the header of each map in words."""
    table = []
    for i, item in enumerate(maps, start=1):
        values, voxel, origin = item.density.values, item.density.voxel_size, item.density.origin
        nz, ny, nx = values.shape
        start = [round(o / v) for o, v in zip(origin, voxel, strict=True)]
        cell = [n * v for n, v in zip((nx, ny, nz), voxel, strict=True)]
        table.append(
            (i, entry, item.file, item.kind, 1, "CCP4", "Image stored as floating point number (4 bytes)", "little",
             "X", "Y", "Z", nx, ny, nz, *start, *(number(c, 4) for c in cell), "90.0", "90.0", "90.0",
             *(number(v, 5) for v in voxel), nx, ny, nz, *_statistics(values), (values.numel() * 4 + 1024) // 1024, "1",
             None if item.contour is None else f"{item.contour:.6g}", None if item.contour is None else "author")
        )  # fmt: skip
    items = ("id", "entry_id", "file", "type", "partition", "format", "data_type", "endian_type", "axis_order_fast",
             "axis_order_medium", "axis_order_slow", "dimensions_col", "dimensions_row", "dimensions_sec", "origin_col",
             "origin_row", "origin_sec", "cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma",
             "pixel_spacing_x", "pixel_spacing_y", "pixel_spacing_z", "spacing_x", "spacing_y", "spacing_z",
             "statistics_minimum", "statistics_maximum", "statistics_average", "statistics_std", "size_kb",
             "symmetry_space_group", "contour_level", "contour_level_source")  # fmt: skip
    return rows(items, table)


def _statistics(values: Tensor) -> tuple[str, ...]:
    v = values.double()
    return tuple(f"{float(x):.6g}" for x in (v.min(), v.max(), v.mean(), v.std(unbiased=False)))


def _software(categories: Categories, reconstruction: Reconstruction | None) -> None:
    """`_em_software`: what Burnish did; what the file named for other steps stays."""
    before = categories.get("em_software", {})
    names = ("category", "name", "version", "details")
    steps = ["INITIAL EULER ASSIGNMENT", "FINAL EULER ASSIGNMENT", "RECONSTRUCTION"] if reconstruction else []
    steps += ["CTF CORRECTION"] if reconstruction and reconstruction.ctf else []
    table: list[tuple[object, ...]] = []
    for i in range(row_count(before)):
        row = [before.get(n, [None] * row_count(before))[i] for n in names]
        if row[0] not in (*steps, "MODEL REFINEMENT"):
            table.append((len(table) + 1, *row, "1", "1", "1"))
    for step in steps:
        version = reconstruction.version if reconstruction else None
        table.append((len(table) + 1, step, "Burnish", version, None, "1", None, None))
    table.append((len(table) + 1, "MODEL REFINEMENT", "Burnish", __version__, None, None, "1", None))
    items = ("id", *names, "image_processing_id", "fitting_id", "imaging_id")
    categories["em_software"] = rows(items, table)
