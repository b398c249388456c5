"""A helix of seven residues with side chains and the density of it, for tests of editing by hand."""

from __future__ import annotations

import math
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import torch

from burnish.chemistry.library import Library, read_library
from burnish.data.sampled_map import SampledMap
from burnish.rebuild.by_hand.growth_tools import mutate
from burnish.rebuild.by_hand.model import HandModel, make_hand_model, make_target
from burnish.rebuild.conformations import with_chi
from peptide_model import make_peptide

NAMES = ("ALA", "SER", "LEU", "VAL", "PHE", "THR", "ALA")
CHI_DEG = {"SER": (62.0,), "LEU": (-65.0, 174.0), "VAL": (175.0,), "PHE": (-66.0, 94.0), "THR": (62.0,)}
STEP = 0.5  # Å
EDGE = 6.0  # Å of box about the model


def library() -> Library:
    """The project's own dictionaries."""
    return read_library([*NAMES, "GLY", "TRP", "GOL", "HOH"], environment={}, debian=None)


def empty_map() -> SampledMap:
    """A map of noise far away, for building before there is density."""
    values = torch.zeros(8, 8, 8)
    values[0, 0, 0] = 1.0
    to_grid = torch.eye(3, dtype=torch.float64)
    return SampledMap(values=values, to_grid=to_grid, offset=torch.full((3,), 900.0).double(), periodic=False)


def true_model(monlib: gemmi.MonLib) -> gemmi.Structure:
    """The helix with every side chain in a common rotamer."""
    structure = make_peptide(["ALA"] * len(NAMES), -62.0, -42.0)
    structure.setup_entities()
    target = make_target(empty_map())
    for number, name in enumerate(NAMES, start=1):
        if name == "ALA":
            continue
        model = make_hand_model(structure, monlib, target, None)
        structure = mutate(model, model.find("A", str(number)), name).structure
        model = make_hand_model(structure, monlib, target, None)
        view = model.views[model.find("A", str(number))]
        chi = [math.radians(c) for c in CHI_DEG[name]]
        for site, xyz in zip(structure[0].all(), with_chi(model.xyz, view, model.graph, chi), strict=True):
            site.atom.pos = gemmi.Position(*xyz)
    return structure


def density_of(structure: gemmi.Structure, extra: tuple[tuple[float, float, float], ...] = ()) -> SampledMap:
    """A Gaussian for every atom, variance .35 Å², height by electrons, in a box [z, y, x]."""
    sites = list(structure[0].all())
    xyz = np.array([s.atom.pos.tolist() for s in sites])
    weight = [s.atom.element.atomic_number / 6.0 for s in sites] + [8.0 / 6.0] * len(extra)
    low, high = xyz.min(axis=0) - EDGE, xyz.max(axis=0) + EDGE
    shape = [int(np.ceil(n)) for n in (high - low) / STEP]
    z, y, x = np.meshgrid(*[np.arange(n) * STEP for n in shape[::-1]], indexing="ij")
    values = np.zeros(x.shape)
    for centre, w in zip([*xyz, *np.array(extra).reshape(-1, 3)], weight, strict=True):
        away = (x + low[0] - centre[0]) ** 2 + (y + low[1] - centre[1]) ** 2 + (z + low[2] - centre[2]) ** 2
        values += w * np.exp(-away / 0.7)
    to_grid = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64) / STEP
    offset = torch.tensor(-low[::-1].copy() / STEP, dtype=torch.float64)
    return SampledMap(values=torch.tensor(values).float(), to_grid=to_grid, offset=offset, periodic=False)


def hand_model(structure: gemmi.Structure, density: SampledMap, monlib: gemmi.MonLib) -> HandModel:
    """The model in its density."""
    return make_hand_model(structure, monlib, make_target(density), None)


def write_inputs(folder: Path, structure: gemmi.Structure, density: SampledMap) -> tuple[Path, Path]:
    """`model.cif` and `map.mrc` in a folder."""
    model, path = folder / "model.cif", folder / "map.mrc"
    structure.make_mmcif_document().write_file(str(model))
    origin = -density.offset.numpy()[::-1] * STEP
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(density.values.numpy())
        file.voxel_size = STEP
        file.header.origin.x, file.header.origin.y, file.header.origin.z = (float(v) for v in origin)
    return model, path
