"""A project with a job of each kind that the page draws, small enough for tests."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import gemmi
import numpy as np

from burnish.core.events import Message, Metrics, Shells
from burnish.io.models import atoms_of
from burnish.jobs.folder import Job
from burnish.jobs.pipeline import new_process
from burnish.jobs.project import Project, init_project
from burnish.validate.model_validation import validate_model
from burnish.validate.summary import validation_record
from hand_peptide import density_of, library, true_model, write_inputs

ATTACK = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>'


Place = tuple[float, float, float]
MICROGRAPHS = ("mic0.mrc", "mic1.mrc", gemmi.cif.quote(f"{ATTACK}.mrc"))


def make_project(folder: Path, jobs: int = 0) -> Project:
    """Jobs: Refine/job001 (a helix, its map, its validation), PostProcess/job002, CtfRefine/job003, then empty ones."""
    project = init_project(folder)
    _model_job(project)
    _postprocess_job(project)
    _ctf_job(project)
    with project.changing() as held:
        for number in range(4, jobs + 1):
            held[0] = held[0].with_process(new_process(f"External/job{number:03d}/", "Succeeded"))
    return project


def _model_job(project: Project) -> None:
    monlib = library().monlib
    structure = true_model(monlib)
    job = Job("refine", project.folder / project.next_name("Refine"), {"model": "start.pdb"}, project=project)
    job.begin()
    water, ligand = _beside(structure)
    model, density = write_inputs(job.folder, structure, density_of(structure, (water, *ligand)))
    document = gemmi.cif.read(str(model))
    for tag in ("_entry.id", "_struct.title"):
        document.sole_block().set_pair(tag, gemmi.cif.quote(ATTACK))
    document.write_file(str(job.path("refined.cif")))
    model.unlink()
    shutil.move(density, job.path("refined_fo.mrc"))
    found = validate_model(structure, atoms_of(structure), monlib)
    record = validation_record(found)
    peak = {"xyz": list(water), "sigma": 5.2, "near": "A 5 PHE CZ", "distance": 1.1}
    centre = np.mean(ligand, axis=0).tolist()
    record["difference_peaks"] = [
        peak,
        {**peak, "xyz": centre, "sigma": 4.8},
        {**peak, "xyz": [4.0, 3.0, -2.0], "sigma": -4.4, "near": f"A 2 SER {ATTACK}"},
    ]
    job.path("validation.json").write_text(json.dumps(record))
    for cycle in range(4):
        job.notify(Metrics("cycle", cycle, {"r_work": 0.3 - 0.03 * cycle, "r_free": 0.32 - 0.02 * cycle}))
    job.notify(Shells("cycle", 3, {"d_min": (4.0, 3.0, 2.0), "r_work": (0.2, 0.22, 0.3), "r_free": (0.22, 0.25, 0.3)}))
    job.notify(Message(ATTACK))
    job.finish({"r_work": 0.21, "note": ATTACK})


def _beside(structure: gemmi.Structure) -> tuple[Place, tuple[Place, ...]]:
    """Where the density shows a water and a glycerol that the model has not."""
    corner = np.array([site.atom.pos.tolist() for site in structure[0].all()]).max(axis=0)
    glycerol = [a.xyz.tolist() for a in library().monlib.monomers["GOL"].atoms if not a.is_hydrogen()]
    ligand = np.array(glycerol) - np.mean(glycerol, axis=0) + corner + 3.0
    x, y, z = (corner + np.array([3.0, -3.0, 2.0])).tolist()
    return (x, y, z), tuple(map(tuple, ligand.tolist()))


def _postprocess_job(project: Project) -> None:
    job = Job("postprocess", project.folder / project.next_name("PostProcess"), {}, project=project)
    job.begin()
    s = np.arange(1, 24) / 64.0
    fsc = 1.0 / (1.0 + np.exp((s - 0.25) * 40.0))
    rows = "\n".join(f"{k} {v:.5f} {f:.5f} {f:.5f}" for k, (v, f) in enumerate(zip(s, fsc, strict=True), start=1))
    points = "\n".join(f"{v * v:.5f} {-8 - 4 * v:.4f}" for v in s)
    job.path("postprocess.star").write_text(
        "data_general\n_rlnFinalResolution 4.0\n_rlnBfactorUsedForSharpening -80.0\n\ndata_fsc\nloop_\n"
        "_rlnSpectralIndex #1\n_rlnResolution #2\n_rlnFourierShellCorrelationCorrected #3\n"
        f"_rlnFourierShellCorrelationUnmaskedMaps #4\n{rows}\n\ndata_guinier\nloop_\n_rlnResolutionSquared #1\n"
        f"_rlnLogAmplitudesOriginal #2\n{points}\n"
    )
    z, y, x = np.indices((40, 40, 40)) - 20
    ball = np.exp(-(x**2 + y**2 + z**2) / 60.0)
    write_map(job.path("postprocess.mrc"), ball)
    write_map(job.path("mask.mrc"), np.clip(2.0 - np.sqrt(x**2 + y**2 + z**2) / 8.0, 0, 1))
    job.finish({"resolution": 4.0})


def _ctf_job(project: Project) -> None:
    job = Job("ctfrefine", project.folder / project.next_name("CtfRefine"), {}, project=project)
    job.begin()
    rng = np.random.default_rng(0)
    names = ("MicrographName", "CoordinateX", "CoordinateY", "DefocusU", "DefocusV", "AngleRot", "AngleTilt")
    rows = [
        f"{MICROGRAPHS[k % 3]} {rng.uniform(0, 400):.1f} {rng.uniform(0, 400):.1f} {12000 + 300 * rng.normal():.1f} "
        f"{12000 + 300 * rng.normal():.1f} {rng.uniform(-180, 180):.1f} {rng.uniform(0, 180):.1f}"
        for k in range(60)
    ]
    columns = "\n".join(f"_rln{name} #{k}" for k, name in enumerate(names, start=1))
    content = f"data_particles\nloop_\n{columns}\n" + "\n".join(rows) + "\n"
    job.path("particles_ctf_refine.star").write_text(content)
    write_map(project.folder / "mic0.mrc", rng.normal(size=(1, 200, 200)))
    job.finish({"particles": 60})


def write_map(path: Path, values: np.ndarray, voxel: float = 2.0) -> None:
    """An MRC file of float32 values [z, y, x]."""
    nz, ny, nx = values.shape
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, nx, ny, nz, 2, 0, 0, 0, nx, ny, nz)
    struct.pack_into("<6f3i", header, 40, nx * voxel, ny * voxel, nz * voxel, 90, 90, 90, 1, 2, 3)
    header[208:214] = b"MAP \x44\x44"
    path.write_bytes(bytes(header) + values.astype("<f4").tobytes())
