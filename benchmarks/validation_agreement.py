"""Verdicts on backbones and side chains against MolProbity's contours, and against cctbx where it is installed.

Usage: validation_agreement.py DATA [--cctbx PYTHON]

DATA is the folder with `reference` (Top8000 tables, see `scripts/fit_conformation_densities.py`) and `mx` (models).
The contours are interpolated linearly between cells, as MolProbity does. PYTHON is an interpreter with cctbx-base;
its `mmtbx.validation.ramalyze` then runs on the same models.
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.chemistry.ramachandran import OUTLIER_LEVEL
from burnish.chemistry.residues import residue_views
from burnish.validate.ramachandran import validate_ramachandran
from burnish.validate.rotamers import validate_rotamers

RAMACHANDRAN = {
    "general": "general-noGPIVpreP", "ile_val": "ileval-nopreP", "pre_proline": "prepro-noGP", "glycine": "gly-sym",
    "trans_proline": "transpro", "cis_proline": "cispro",
}  # fmt: skip
ROTAMERS = "ASN ASP CYS GLN GLU HIS ILE LEU MET PHE PRO SER THR TRP TYR VAL"
CCTBX = """
import sys
from iotbx.data_manager import DataManager
from mmtbx.validation import ramalyze
manager = DataManager()
manager.process_model_file(sys.argv[1])
for r in ramalyze.ramalyze(pdb_hierarchy=manager.get_model().get_hierarchy(), outliers_only=False).results:
    print("|".join(x.strip() for x in (r.chain_id, r.resid, r.resname, r.altloc, r.ramalyze_type())))
"""


@dataclass(frozen=True)
class Contours:
    """A reference table on its full grid."""

    low: np.ndarray
    high: np.ndarray
    grid: np.ndarray

    def at(self, angles_deg: list[float]) -> float:
        """Level at some angles, linear between the middles of cells, periodic."""
        shape = np.array(self.grid.shape)
        place = (np.array(angles_deg) - self.low) / (self.high - self.low) * shape - 0.5
        base = np.floor(place).astype(int)
        share = place - base
        total = 0.0
        for corner in itertools.product((0, 1), repeat=len(shape)):
            weight = math.prod(s if c else 1.0 - s for s, c in zip(share, corner, strict=True))
            total += weight * float(self.grid[tuple((base + np.array(corner)) % shape)])
        return total


def read_contours(path: Path) -> Contours:
    """Read a table."""
    axes, rows = [], []
    for line in path.read_text().splitlines():
        if line.startswith("#   x"):
            axes.append([float(x) for x in line.split(":")[1].split()[:3]])
        elif not line.startswith("#"):
            rows.append([float(x) for x in line.split()])
    low, high, size = np.array(axes).T
    listed = np.array(rows)
    grid = np.zeros(size.astype(int))
    cells = np.floor((listed[:, :-1] - low) / (high - low) * size).astype(int) % size.astype(int)
    grid[tuple(cells.T)] = listed[:, -1]
    return Contours(low, high, grid)


def verdict(level: float, outlier: float) -> str:
    """Favoured, allowed, outlier."""
    return "Favored" if level >= 0.02 else "Allowed" if level >= outlier else "OUTLIER"


def main() -> None:
    """Compare on every model and print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--cctbx", type=Path)
    options = parser.parse_args()
    reference = options.data / "reference"
    backbone = {k: read_contours(reference / "ramachandran" / f"rama8000-{v}.data") for k, v in RAMACHANDRAN.items()}
    names = {n: "phetyr" if n in ("PHE", "TYR") else n.lower() for n in ROTAMERS.split()}
    side = {k: read_contours(reference / "rotamers" / "contours" / f"rota8000-{v}.data") for k, v in names.items()}
    totals = np.zeros(7, dtype=int)
    print("model | backbones, differ | side chains, differ, outlier or not | cctbx backbones, differ")
    for path in sorted((options.data / "mx").glob("*/model.cif")):
        structure = gemmi.read_structure(str(path))
        views = residue_views(structure[0])
        xyz = torch.tensor([s.atom.pos.tolist() for s in structure[0].all()], dtype=torch.float64)
        found, chains = validate_ramachandran(xyz, views), validate_rotamers(xyz, views)
        row = [len(found), 0, 0, 0, 0, 0, 0]
        mine = {}
        for r in found:
            theirs = backbone[r.kind].at([math.degrees(r.phi), math.degrees(r.psi)])
            ours = verdict(r.level, OUTLIER_LEVEL[r.kind])
            row[1] += ours != verdict(theirs, OUTLIER_LEVEL[r.kind])
            v = views[r.view]
            mine[f"{v.chain}|{v.number}|{v.name}|{v.altloc}"] = ours
        for c in chains:
            name = views[c.view].name
            if name in side:
                theirs = side[name].at([math.degrees(x) for x in c.chi[: side[name].grid.ndim]])
                row[2] += 1
                row[3] += verdict(c.level, 0.003) != verdict(theirs, 0.003)
                row[4] += (c.level < 0.003) != (theirs < 0.003)
        if options.cctbx:
            said = subprocess.run(
                [str(options.cctbx), "-c", CCTBX, str(path)], capture_output=True, text=True, check=True
            ).stdout
            for line in said.splitlines():
                key, _, theirs_said = line.rpartition("|")
                if key in mine:
                    row[5] += 1
                    row[6] += mine[key] != theirs_said
        totals += np.array(row)
        print(path.parent.name, "|", *row[:2], "|", *row[2:5], "|", *row[5:])
    print("all |", *totals[:2], "|", *totals[2:5], "|", *totals[5:])
    print(f"agreement: {1 - totals[1] / totals[0]:.4f} {1 - totals[3] / totals[2]:.4f} {1 - totals[4] / totals[2]:.4f}")


if __name__ == "__main__":
    main()
