"""Scenes of small peptides in Gaussian density, for tests of moves that change which atoms there are."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np
import torch

from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.data.sampled_map import SampledMap
from burnish.io.models import atoms_of
from burnish.models.fit_maps import FitMaps
from burnish.rebuild.evidence import Evidence
from burnish.rebuild.scene import Scene
from burnish.rebuild.side_chains import side_chain_rotamers, side_chain_template
from peptide_model import make_peptide

AMINO_ACIDS = ["ALA", "GLY", "LEU", "SER", "PHE", "LYS", "VAL", "ASP", "TRP", "THR", "GLU", "ILE"]
LIBRARY = read_library(AMINO_ACIDS, environment={}, debian=None)


def peptide_with_side_chains(
    names: Sequence[str], phi_deg: float = -120.0, psi_deg: float = 130.0, omega_deg: float = 180.0
) -> gemmi.Structure:
    """A chain with every side chain in its most frequent rotamer."""
    structure = make_peptide(names, phi_deg, psi_deg, omega_deg)
    structure.setup_entities()
    for residue in structure[0]["A"]:
        template = side_chain_template(LIBRARY.monlib, residue.name)
        assert template is not None
        backbone = np.array([residue[n][0].pos.tolist() for n in ("N", "CA", "C")])
        _, _, xyz = side_chain_rotamers(template, backbone, spread=False)
        for name, element, place in zip(template.side, template.elements[3:], xyz[0], strict=True):
            if name == "CB":
                residue["CB"][0].pos = gemmi.Position(*place)
                continue
            atom = gemmi.Atom()
            atom.name, atom.element, atom.occ, atom.b_iso = name, gemmi.Element(element), 1.0, 20.0
            atom.pos = gemmi.Position(*place)
            residue.add_atom(atom)
    return structure


def gaussians(centres: np.ndarray, box: np.ndarray, height: float = 5.0) -> SampledMap:
    """Gaussians of variance .4 Å² in a box about some positions."""
    low = box.min(axis=0) - 8.0
    shape = tuple(int(np.ceil(s)) for s in (box.max(axis=0) + 8.0 - low) / 0.5)
    values, reach = np.zeros(shape), 7
    for c in centres:
        near = [
            np.arange(max(0, k - reach), min(n, k + reach + 1)) for k, n in zip(_nearest(c, low), shape, strict=True)
        ]
        bell = [np.exp(-((0.5 * k + o - x) ** 2) / 0.8) for k, o, x in zip(near, low, c, strict=True)]
        values[np.ix_(*near)] += height * np.einsum("i,j,k->ijk", *bell)
    return SampledMap(
        values=torch.tensor(values).float(),
        to_grid=torch.eye(3, dtype=torch.float64) / 0.5,
        offset=torch.tensor(-low / 0.5),
        periodic=False,
    )


def _nearest(place: np.ndarray, low: np.ndarray) -> list[int]:
    return [int(k) for k in np.rint((place - low) / 0.5)]


def scene_of(model: gemmi.Structure, truth: gemmi.Structure, sequences: tuple[tuple[str, ...], ...] = ()) -> Scene:
    """A model in the density of the truth, both in units of σ."""
    atoms, xyz = atoms_of(model), atoms_of(truth).xyz.numpy()
    box = np.concatenate([xyz, atoms.xyz.numpy()])
    density, calculated = gaussians(xyz, box), gaussians(atoms.xyz.numpy(), box)
    difference = SampledMap(
        values=density.values - calculated.values, to_grid=density.to_grid, offset=density.offset, periodic=False
    )

    def own(chosen, share):
        weight = np.ones(len(chosen.xyz)) if share is None else share
        return gaussians(chosen.xyz.numpy()[weight > 0], box)

    maps = FitMaps(density=density, calculated=calculated, difference=difference, d_min=2.0)
    evidence = Evidence(maps=maps, sigma=1.0, difference_sigma=1.0, own=own, atoms=atoms)
    return Scene(
        structure=model,
        views=residue_views(model[0]),
        evidence=evidence,
        crystal=None,
        monlib=LIBRARY.monlib,
        sequences=sequences,
    )
