"""CTF refinement against RELION on a simulated set, in one run: CPU seconds, errors against the truth, gain of the map.

    python benchmarks/ctfrefine.py PREFIX RELION_FOLDER [--mask MASK] [--no-reconstruct]

PREFIX names a set with known truth (PREFIX_particles.star, PREFIX_truth.npz, PREFIX_true.mrc); RELION_FOLDER holds its
half maps (half{1,2}_class001_unfil.mrc), mask.mrc and postprocess.star, made from the particles as given. Both programs
start from these. Afterwards `relion_reconstruct` makes the map of all particles with the optics as given, of each
program, and true; each is compared with the true map inside the mask.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from burnish.data.optics import OpticsGroup
from burnish.fourier.shells import crossing, fsc, resolution_of_shell
from burnish.io.mrc import read_map
from burnish.io.particles import read_particles, write_particles
from burnish.optics.aberrations import odd_phase
from burnish.particles.ctf_refinement.half_plane import make_half_plane
from measure import Cost, run

BURNISH = [sys.executable, "-m", "burnish.cli.main"]
FINEST = 4.0  # Å; odd phases are compared to here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("relion", type=Path)
    parser.add_argument("--symmetry", default="D2")
    parser.add_argument("--no-reconstruct", action="store_true")
    parser.add_argument("--null", action="store_true", help="the set has no aberrations: say only what is claimed")
    options = parser.parse_args()
    if options.null:
        claim_nothing(options.prefix.resolve(), options.relion.resolve())
        return
    folder, name = options.prefix.resolve().parent, options.prefix.name
    given = folder / f"{name}_particles.star"
    truth = np.load(folder / f"{name}_truth.npz")
    relion = options.relion.resolve()
    costs = {"RELION tilt and trefoil": run_relion_tilt(folder, given, relion)}
    costs["RELION defocus"] = run_relion_defocus(folder, relion)
    ours = folder / "burnish_ctfrefine"
    costs["Burnish, both"] = run_burnish(folder, given, relion, ours)
    for what, cost in costs.items():
        print(f"{what:28s} {cost.cpu:7.1f} CPU s {cost.memory:7.0f} MiB")
    ratio = (costs["RELION tilt and trefoil"].cpu + costs["RELION defocus"].cpu) / costs["Burnish, both"].cpu
    print(f"ratio of CPU seconds {ratio:.1f}")
    stars = {
        "given": given,
        "RELION": relion / "bench_def" / "particles_ctf_refine.star",
        "Burnish": ours / "particles_ctf_refine.star",
        "true": write_truth(folder, name, given, truth),
    }
    for what, star in stars.items():
        print(f"{what:8s} {json.dumps(score(star, truth))}")
    if not options.no_reconstruct:
        compare_maps(folder, name, relion, stars, options.symmetry)


def claim_nothing(prefix: Path, relion: Path) -> None:
    """Fit all aberrations to a set without any, and print what is claimed and how far each term is from zero."""
    given, out = prefix.with_name(f"{prefix.name}_particles.star"), prefix.with_name("burnish_null")
    run_burnish(prefix.parent, given, relion, out, "--fourth-order")
    summary = json.loads((out / "job.json").read_text())["summary"]
    terms = [(g, t) for g, found in summary["groups"].items() for t in found["terms"]]
    print("claimed:", [s for found in summary["groups"].values() for s in found["significant"]] or "nothing")
    for group, term in sorted(terms, key=lambda entry: -abs(entry[1]["value"] / entry[1]["sigma"])):
        ratio = term["value"] / term["sigma"]
        print(f"{group:16s} {term['name']:40s} {term['value']:9.4f} ± {term['sigma']:.4f}  {ratio:+.2f} σ")


def run_relion_tilt(folder: Path, given: Path, relion: Path) -> Cost:
    return run([*relion_command(relion, given, "bench_tilt"), "--fit_beamtilt", "--kmin_tilt", "30",
                "--odd_aberr_max_n", "3"], folder)  # fmt: skip


def run_relion_defocus(folder: Path, relion: Path) -> Cost:
    tilted = relion / "bench_tilt" / "particles_ctf_refine.star"
    return run([*relion_command(relion, tilted, "bench_def"), "--fit_defocus", "--kmin_defocus", "30",
                "--fit_mode", "fpfff"], folder)  # fmt: skip


def relion_command(relion: Path, star: Path, out: str) -> list[str]:
    halves = [str(relion / f"half{n}_class001_unfil.mrc") for n in (1, 2)]
    return ["relion_ctf_refine", "--i", str(star), "--o", f"{relion / out}/", "--f", str(relion / "postprocess.star"),
            "--m1", halves[0], "--m2", halves[1], "--mask", str(relion / "mask.mrc"), "--j", "1"]  # fmt: skip


def run_burnish(folder: Path, given: Path, relion: Path, out: Path, *more: str) -> Cost:
    halves = [str(relion / f"half{n}_class001_unfil.mrc") for n in (1, 2)]
    return run(
        [*BURNISH, "ctfrefine", "--particles", str(given), "--postprocess", str(relion / "postprocess.star"),
         "--half1", halves[0], "--half2", halves[1], "--mask", str(relion / "mask.mrc"), "--beam-tilt", "--trefoil",
         "--out", str(out), *more],
        folder,
    )  # fmt: skip


def true_optics(optics: Sequence[OpticsGroup], truth: np.lib.npyio.NpzFile) -> tuple[OpticsGroup, ...]:
    """The simulated beam tilt and trefoil; trefoil T rad at Nyquist is T · (2 · pixel)³ as Zernike coefficient."""
    return tuple(
        replace(
            group,
            beam_tilt=(float(tilt[0]) * 1e-3, float(tilt[1]) * 1e-3),
            odd_zernike=(0.0, 0.0, 0.0, 0.0, 0.0, float(truth["trefoil"]) * (2 * group.pixel_size) ** 3),
        )
        for group, tilt in zip(optics, truth["beam_tilt"], strict=True)
    )


def write_truth(folder: Path, name: str, given: Path, truth: np.lib.npyio.NpzFile) -> Path:
    file = read_particles(given)
    values = {key: torch.from_numpy(truth[column]) for key, column in (("u", "defU"), ("v", "defV"))}
    index = file.particles.slice_index
    defocus = replace(file.particles.defocus, **{k: v[index] for k, v in values.items()})
    path = folder / f"{name}_true_optics.star"
    optics = true_optics(file.particles.optics, truth)
    write_particles(path, file, replace(file.particles, defocus=defocus, optics=optics))
    return path


def score(star: Path, truth: np.lib.npyio.NpzFile) -> dict[str, object]:
    """Errors against the truth: defocus, beam tilt, and all of the odd phase out to 4 Å in each group."""
    particles = read_particles(star).particles
    index = particles.slice_index
    found = (particles.defocus.u + particles.defocus.v) / 2
    error = found - torch.from_numpy(truth["defU"] + truth["defV"])[index] / 2
    phases, tilts = [], []
    for group, true in zip(particles.optics, true_optics(particles.optics, truth), strict=True):
        k = make_half_plane(group.box_size, group.pixel_size, 1e-9, 1 / FINEST).frequency.double()
        phases.append(float((odd_phase(k, group) - odd_phase(k, true)).square().mean().sqrt()))
        tilts.append(1e3 * math.dist(group.beam_tilt, true.beam_tilt))
    return {
        "defocus_error_rms": round(float(error.square().mean().sqrt()), 1),
        "defocus_error_median": round(float(error.abs().median()), 1),
        "odd_phase_error_rms_rad": [round(p, 4) for p in phases],
        "beam_tilt_error_mrad": [round(t, 4) for t in tilts],
    }


def compare_maps(folder: Path, name: str, relion: Path, stars: dict[str, Path], symmetry: str) -> None:
    """Resolution of the map of each set of optics against the true map, at FSC 0.5, inside the mask."""
    true = read_map(folder / f"{name}_true.mrc").values
    mask = read_map(relion / "mask.mrc").values
    header = read_map(relion / "half1_class001_unfil.mrc")
    length = header.voxel_size[0] * header.values.shape[0]
    for what, star in stars.items():
        out = folder / f"{name}_map_{what}.mrc"
        run(["relion_reconstruct", "--i", str(star), "--o", str(out), "--ctf", "--sym", symmetry, "--pad", "1"], folder)
        curve = fsc(read_map(out).values * mask, true * mask)
        shell = crossing(curve, 0.5)
        print(f"{what:8s} map against the truth at 0.5: shell {shell:.2f}, {resolution_of_shell(shell, length):.3f} Å")


if __name__ == "__main__":
    main()
