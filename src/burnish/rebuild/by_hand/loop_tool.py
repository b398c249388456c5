"""A stretch of backbone built anew between its ends, by hand: the best of all that close, without a judge."""

from __future__ import annotations

import numpy as np
import torch

from burnish.core.errors import InputError
from burnish.maps.sampling import sample
from burnish.rebuild.by_hand.conformation_tools import Moved
from burnish.rebuild.by_hand.minimise import make_problem, minimise
from burnish.rebuild.by_hand.model import HandModel
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, window_atoms

STEPS = 25


def rebuild_loop(model: HandModel, view: int, size: int) -> Moved:
    """New backbones through the density for `size` residues about one; the one with the lowest energy is taken."""
    if not 3 <= size <= 9:
        raise InputError(f"{size} residues: a loop is built anew for 3 to 9")
    window = backbone_window(model.views, view, size)
    if window is None:
        raise InputError(f"{model.views[view].label}: too near an end, or a conformer is in the way")
    site = backbone_site(model.xyz, model.views, window, model.target, "by hand")
    if site is None:
        raise InputError(f"{model.views[view].label}: no backbone closes between these ends")
    atoms = window_atoms(model.views, window)
    around = model.around()
    best = None
    for candidate in site.candidates[:8]:
        xyz = model.xyz.copy()
        xyz[atoms] = candidate.xyz
        done = minimise(make_problem(model.system, around, xyz, atoms, model.target), candidate.xyz, steps=STEPS)
        if best is None or done.energy.total < best.energy.total:
            best = done
    if best is None:
        raise InputError(f"{model.views[view].label}: no backbone closes between these ends")
    before = sample(model.target.spline, torch.from_numpy(model.xyz[atoms])).mean() / model.target.sigma
    moved = model.xyz.copy()
    moved[atoms] = best.xyz
    note = f"{model.views[window[0]].label} – {model.views[window[-1]].label} built anew"
    return Moved(xyz=moved, atoms=atoms, density=(float(before), float(np.mean(best.density))), note=note)
