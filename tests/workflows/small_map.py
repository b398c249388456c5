"""A box of electron potential made by gemmi, for tests of models against maps."""

from pathlib import Path

import gemmi
import numpy as np

VOXEL, SIZE = 0.8, 48


def potential_of(structure: gemmi.Structure) -> np.ndarray:
    """Electron potential of a model, [z, y, x], by gemmi."""
    density = gemmi.DensityCalculatorE()
    density.grid.set_unit_cell(gemmi.UnitCell(SIZE * VOXEL, SIZE * VOXEL, SIZE * VOXEL, 90, 90, 90))
    density.d_min, density.rate = 2.0, 0.999 / VOXEL  # gemmi's spacing is d_min / (2 rate)
    density.put_model_density_on_grid(structure[0])
    assert density.grid.shape == (SIZE, SIZE, SIZE)
    return np.array(density.grid.array).transpose(2, 1, 0).astype(np.float32)


def moved(structure: gemmi.Structure, shift: np.ndarray) -> gemmi.Structure:
    """The structure shifted, in Å, without crystal symmetry."""
    copy = structure.clone()
    for site in copy[0].all():
        site.atom.pos = gemmi.Position(*(np.array(site.atom.pos.tolist()) + shift))
    copy.spacegroup_hm, copy.cell = "P 1", gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    return copy


def in_the_middle(structure: gemmi.Structure) -> gemmi.Structure:
    """The structure with its centre in the middle of the box."""
    centre = np.mean([site.atom.pos.tolist() for site in structure[0].all()], axis=0)
    return moved(structure, SIZE * VOXEL / 2 - centre)


def rms_distance(one: Path, other: Path) -> float:
    """Root mean square distance of the atoms of two files, hydrogens aside, Å."""
    a, b = (
        {
            (str(s.residue.seqid), s.atom.name): np.array(s.atom.pos.tolist())
            for s in structure[0].all()
            if not s.atom.is_hydrogen()
        }
        for structure in (gemmi.read_structure(str(one)), gemmi.read_structure(str(other)))
    )
    assert a.keys() == b.keys()
    return float(np.sqrt(np.mean([np.sum((a[key] - b[key]) ** 2) for key in a])))
