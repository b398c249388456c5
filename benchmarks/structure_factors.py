"""Structure factors, gradient and the whole data term against gemmi, and R of deposited models as scaled here.

    python benchmarks/structure_factors.py FOLDER…

Every folder holds `model.cif` and `data.mtz`. gemmi's part is what it offers for the same work, without gradients:
`DensityCalculatorX` at rate 1.5 with its REFMAC-compatible blur, then one FFT (`transform_map_to_f_phi`), in the same
process and thread. CPU seconds (user + system), the best of five, kernels compiled before. The error is that of F
against gemmi's direct summation over atoms on 60 reflections.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.io.models import read_model
from burnish.io.reflections import read_reflections
from burnish.models.crystal_term import CrystalTerm
from burnish.models.structure_factors import plan_structure_factors, structure_factor_gradient, structure_factors
from burnish.scattering.form_factors import form_factors


def best(action: Callable[[], object], repeats: int = 5) -> float:
    """Least CPU time of several calls, s."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        spent.append(time.process_time() - start)
    return min(spent)


def with_gemmi(structure: gemmi.Structure, d_min: float) -> None:
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate = d_min, 1.5
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.grid.setup_from(structure)
    calculator.put_model_density_on_grid(structure[0])
    gemmi.transform_map_to_f_phi(calculator.grid)


def row(folder: Path) -> str:
    """One line of the table."""
    model = read_model(folder / "model.cif")
    data = read_reflections(folder / "data.mtz")
    r, structure, atoms = data.reflections, model.structure, model.atoms
    structure.setup_cell_images()
    factors, occ = form_factors(atoms.elements), atoms.occ.numpy()
    plan = plan_structure_factors(r.crystal, r.hkl)
    f = structure_factors(atoms, factors, occ, plan)
    pick = np.random.default_rng(0).choice(len(r), 60, replace=False)
    direct = gemmi.StructureFactorCalculatorX(structure.cell)
    exact = np.array([direct.calculate_sf_from_model(structure[0], r.hkl[i].tolist()) for i in pick])
    error = np.abs(f.numpy()[pick] - exact).sum() / np.abs(exact).sum()
    structure_factor_gradient(atoms, factors, occ, plan, f)
    forward = best(lambda: structure_factors(atoms, factors, occ, plan))
    backward = best(lambda: structure_factor_gradient(atoms, factors, occ, plan, f))
    floor = best(lambda: with_gemmi(structure, r.d_min))
    term = CrystalTerm(r)
    term.prepare(atoms)
    term.evaluate(atoms)
    whole = best(lambda: term.evaluate(replace(atoms, xyz=atoms.xyz.clone())))  # a new record: nothing is remembered
    scaling = best(lambda: term.update_scaling(replace(atoms, xyz=atoms.xyz.clone())))
    found = term.statistics()
    return (
        f"| {folder.name} | {len(atoms)} | {len(r)} | {100 * error:.3f} | {forward:.3f} + {backward:.3f} | "
        f"{floor:.3f} | {(forward + backward) / floor:.2f} | {whole:.2f} | {scaling:.2f} | "
        f"{found.r_work:.4f} / {found.r_free:.4f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    torch.set_num_threads(1)
    print(
        "| case | atoms | reflections | error of F, % | F + gradient, s | gemmi, s | ratio | "
        "evaluation, s | scaling, s | R work / free |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for folder in parser.parse_args().folders:
        print(row(folder), flush=True)


if __name__ == "__main__":
    main()
