"""Radii, hydrogen-bond roles and neighbours through bonds of each atom, for non-bonded contacts."""

from __future__ import annotations

from typing import Any, cast

import gemmi
import numpy as np
import torch
from scipy import sparse

from burnish.data.restraints import Bonds, ContactTypes, HydrogenBondRole

ROLES = {
    "D": HydrogenBondRole.DONOR,
    "A": HydrogenBondRole.ACCEPTOR,
    "B": HydrogenBondRole.BOTH,
}


def contact_types(
    model: gemmi.Model,
    topology: gemmi.Topo,
    library: gemmi.MonLib,
    bonds: Bonds,
) -> ContactTypes:
    """Contact types of every atom.

    Parameters
    ----------
    model : atoms whose serial numbers are their indices plus one.
    topology : gemmi's, which knows the final dictionary of each residue.
    library : with its energy types.
    bonds : of the same atoms.
    """
    n = model.count_atom_sites()
    types = _energy_types(topology, n)
    table = library.ener_lib.atoms
    radius, united, ion = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    role = np.zeros(n, dtype=np.int64)
    is_hydrogen, is_metal = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    conformer = np.zeros(n, dtype=np.int64)
    known: dict[str, tuple[float, float, float, int]] = {}
    for index, site in enumerate(model.all()):
        atom = site.atom
        element = atom.element
        is_hydrogen[index] = element.is_hydrogen
        is_metal[index] = element.is_metal
        conformer[index] = ord(atom.altloc) if atom.altloc != "\0" else 0
        name = types[index] or element.name.upper()
        if name not in known:
            entry = table.get(name)
            vdw = float(element.vdw_r)
            known[name] = (
                (entry.vdw_radius, entry.vdwh_radius, entry.ion_radius, int(ROLES.get(entry.hb_type, 0)))
                if entry is not None
                else (vdw, vdw, np.nan, 0)
            )
        radius[index], united[index], ion[index], role[index] = known[name]
    united = np.where(np.isfinite(united), united, radius)
    near, near_bonds = _near(bonds, n)
    parent = _parents(bonds, is_hydrogen)
    donors = (HydrogenBondRole.DONOR, HydrogenBondRole.BOTH)
    role[is_hydrogen] = np.where(np.isin(role[parent[is_hydrogen]], donors), HydrogenBondRole.HYDROGEN, 0)
    return ContactTypes(
        radius=torch.tensor(radius),
        united_radius=torch.tensor(united),
        ion_radius=torch.tensor(ion),
        role=torch.tensor(role),
        is_hydrogen=torch.tensor(is_hydrogen),
        is_metal=torch.tensor(is_metal),
        conformer=torch.tensor(conformer),
        parent=torch.tensor(parent),
        near=torch.tensor(near),
        near_bonds=torch.tensor(near_bonds),
    )


def _energy_types(topology: gemmi.Topo, n: int) -> list[str]:
    """Energy type of each atom, "" where the dictionary has none."""
    types = [""] * n
    known: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}
    for chain in cast(Any, topology).chain_infos:  # gemmi's stubs know no iteration over them
        for info in chain.res_infos:
            key = (info.res.name, tuple(mod.id for mod in info.mods))
            if key not in known:
                component = info.get_final_chemcomp("*")
                known[key] = {atom.id: atom.chem_type for atom in component.atoms}
            names = known[key]
            for atom in info.res:
                types[atom.serial - 1] = names.get(atom.name, "")
    return types


def _parents(bonds: Bonds, is_hydrogen: np.ndarray) -> np.ndarray:
    """Heavy atom that each hydrogen sits on; the atom itself for others."""
    parent = np.arange(len(is_hydrogen), dtype=np.int64)
    pairs = bonds.atoms.numpy()
    for hydrogen, heavy in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
        riding = is_hydrogen[hydrogen] & ~is_hydrogen[heavy]
        parent[hydrogen[riding]] = heavy[riding]
    return parent


def _near(bonds: Bonds, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of atoms up to three bonds apart, from the bonds themselves, so that unlisted angles count as well."""
    inside = bonds.image.numpy() == 0
    pairs = bonds.atoms.numpy()[inside]
    ones = np.ones(len(pairs), dtype=np.int32)
    one_way = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    graph = one_way + one_way.T
    second = graph @ graph
    keys, steps = [], []
    for count, matrix in ((1, graph), (2, second), (3, second @ graph)):
        upper = sparse.triu(matrix, k=1).tocoo()
        keys.append(upper.row.astype(np.int64) * n + upper.col)
        steps.append(np.full(len(upper.row), count, dtype=np.int64))
    unique, first = np.unique(np.concatenate(keys), return_index=True)  # the first occurrence is the shortest way
    return np.stack([unique // max(n, 1), unique % max(n, 1)], axis=1), np.concatenate(steps)[first]
