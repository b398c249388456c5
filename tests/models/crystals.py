"""Small made-up crystals for the tests of the data term."""

from __future__ import annotations

import gemmi
import numpy as np
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal, Reflections
from burnish.symmetry.space_groups import fractionalisation, orthogonalisation, reflection_properties

F64 = torch.float64


def random_atoms(crystal: Crystal, count: int, seed: int, *, anisotropic: float = 0.0) -> Atoms:
    """Atoms anywhere in the cell, with B of 8–30 Å²; a share of them anisotropic."""
    rng = np.random.default_rng(seed)
    elements = tuple(rng.choice(["C", "N", "O", "S"], count, p=[0.6, 0.17, 0.2, 0.03]).tolist())
    b = torch.tensor(rng.uniform(8.0, 30.0, count))
    shear = torch.tensor(rng.normal(size=(count, 3, 3)))
    u = 0.05 * (shear @ shear.mT) + 0.12 * torch.eye(3, dtype=F64)
    packed = torch.stack([u[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], dim=1)
    is_aniso = torch.tensor(rng.random(count) < anisotropic)
    equivalent = packed[:, :3].mean(dim=1) * 8.0 * np.pi**2
    return Atoms(
        xyz=torch.tensor(rng.random((count, 3)) @ orthogonalisation(crystal).T),
        b_iso=torch.where(is_aniso, equivalent, b),
        u_aniso=torch.where(is_aniso[:, None], packed, 0.0),
        is_aniso=is_aniso,
        occ=torch.tensor(rng.uniform(0.5, 1.0, count)),
        elements=elements,
        charges=torch.zeros(count, dtype=torch.int64),
        altloc=("",) * count,
        residue=torch.arange(count),
    )


def reflections_to(crystal: Crystal, d_min: float) -> Reflections:
    """All unique reflections to a resolution, without measurements."""
    hkl = gemmi.make_miller_array(crystal.unit_cell, crystal.group, d_min)
    centric, epsilon, s2 = reflection_properties(crystal, hkl)
    unknown = torch.full((len(hkl),), torch.nan, dtype=F64)
    return Reflections(
        crystal=crystal,
        hkl=torch.tensor(np.asarray(hkl), dtype=torch.int64),
        f_obs=unknown,
        sigma_f_obs=unknown,
        i_obs=None,
        sigma_i_obs=None,
        free=torch.zeros(len(hkl), dtype=torch.bool),
        centric=torch.tensor(centric),
        epsilon=torch.tensor(epsilon),
        s2=torch.tensor(s2),
    )


def gemmi_model(crystal: Crystal, atoms: Atoms) -> gemmi.Structure:
    """The same atoms as a gemmi structure, for its direct summation."""
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = crystal.unit_cell, crystal.space_group
    residue = gemmi.Residue()
    residue.name = "UNL"
    for n, symbol in enumerate(atoms.elements):
        atom = gemmi.Atom()
        atom.name, atom.element = f"{symbol}{n}", gemmi.Element(symbol)
        atom.pos = gemmi.Position(*atoms.xyz[n].tolist())
        atom.b_iso, atom.occ = float(atoms.b_iso[n]), float(atoms.occ[n])
        if bool(atoms.is_aniso[n]):
            atom.aniso = gemmi.SMat33f(*atoms.u_aniso[n].tolist())
        residue.add_atom(atom)
    chain, model = gemmi.Chain("A"), gemmi.Model(1)
    chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_cell_images()
    return structure


def direct_summation(crystal: Crystal, atoms: Atoms, hkl: torch.Tensor) -> np.ndarray:
    """Structure factors by gemmi's direct summation over atoms and operations. (n,) complex"""
    structure = gemmi_model(crystal, atoms)
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    model = structure[0]
    return np.array([calculator.calculate_sf_from_model(model, row) for row in hkl.tolist()])


def triclinic_like(space_group: str) -> Crystal:
    """A cell that the space group allows, edges near 11–17 Å."""
    group = gemmi.SpaceGroup(space_group)
    a, b, c = 11.0, 13.0, 17.0
    system = group.crystal_system_str()
    cells = {
        "triclinic": (a, b, c, 81.0, 96.0, 109.0),
        "monoclinic": (a, b, c, 90.0, 107.0, 90.0),
        "orthorhombic": (a, b, c, 90.0, 90.0, 90.0),
        "tetragonal": (b, b, c, 90.0, 90.0, 90.0),
        "trigonal": (b, b, c, 90.0, 90.0, 120.0),
        "hexagonal": (b, b, c, 90.0, 90.0, 120.0),
        "cubic": (a, a, a, 90.0, 90.0, 90.0),
    }
    cell = (b, b, b, 75.0, 75.0, 75.0) if group.ext == "R" else cells[system]
    return Crystal(cell=cell, space_group=group.xhm())


def on_special_position(
    crystal: Crystal, atoms: Atoms, fractional: tuple[float, float, float], index: int = 0
) -> Atoms:
    """The same atoms with one moved to a point of the cell."""
    from dataclasses import replace

    xyz = atoms.xyz.clone()
    xyz[index] = torch.tensor(np.linalg.solve(fractionalisation(crystal), np.array(fractional)))
    return replace(atoms, xyz=xyz)
