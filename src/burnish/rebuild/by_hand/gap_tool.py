"""Residues built into a gap beside a chosen one: those that the sequence names, alanines where it is not known."""

from __future__ import annotations

import math
from itertools import pairwise

from burnish.chemistry.sequences import Gap, find_gaps, place_chains
from burnish.core.errors import InputError
from burnish.data.atoms import Atoms
from burnish.data.sampled_map import SampledMap
from burnish.models.fit_maps import FitMaps
from burnish.rebuild.by_hand.growth_tools import Grown
from burnish.rebuild.by_hand.model import HandModel
from burnish.rebuild.evidence import Evidence
from burnish.rebuild.moves.gaps import LONGEST_GAP, close_one_gap
from burnish.rebuild.scene import Scene


def build_gap(model: HandModel, view: int, density: SampledMap, atoms: Atoms) -> Grown:
    """The residues that are missing next to one, grown through the density until they reach the other side.

    Parameters
    ----------
    view : a residue at the gap.
    density : the map that the model is built in.
    atoms : of the model, in file order.
    """
    gap, is_known = _gap_beside(model, view)

    def own(chosen: Atoms, share: object) -> SampledMap:
        raise NotImplementedError("a gap asks for no density of single atoms")

    # of the maps a gap looks at the density alone
    maps = FitMaps(density=density, calculated=density, difference=density, d_min=math.nan)
    sigma = model.target.sigma
    scene = Scene(
        structure=model.structure,
        views=model.views,
        evidence=Evidence(maps=maps, sigma=sigma, difference_sigma=sigma, own=own, atoms=atoms),
        crystal=model.crystal,
        monlib=model.monlib,
    )
    change = close_one_gap(scene, gap)
    record = change.records[0]
    if not record.accepted:
        raise InputError(f"{record.residue}: {record.reason}")
    chain = model.views[view].chain
    names = " ".join(gap.names) if is_known else f"{len(gap.names)} alanines, the sequence is not known"
    note = f"{chain} {gap.numbers[0]} – {gap.numbers[-1]} built: {names}; {record.reason}"
    return Grown(structure=change.structure, place=(chain, str(gap.numbers[len(gap.numbers) // 2])), note=note)


def _gap_beside(model: HandModel, view: int) -> tuple[Gap, bool]:
    """The gap before or after a residue, and whether the sequence of what is missing is known."""
    own = model.views[view]
    if own.kind != "protein":
        raise InputError(f"{own.label}: no residue of a protein chain")
    chain = [v for v in model.views if v.chain == own.chain and v.kind == "protein" and v.is_primary]
    if not all(v.number.lstrip("-").isdigit() for v in chain):
        raise InputError(f"{own.chain}: residues have insertion codes; gaps are found by their numbers")
    numbers = {v.residue: int(v.number) for v in chain}
    placed = next((p for p in place_chains(model.structure) if p.name == own.chain), None)
    if placed is not None:
        gaps, words = find_gaps(placed, numbers, LONGEST_GAP)
        beside = next((g for g in gaps if own.residue in (g.before, g.after)), None)
        if beside is not None:
            return beside, True
        if words:
            raise InputError("; ".join(words))
    ordered = sorted(numbers)
    for before, after in pairwise(ordered):
        missing = numbers[after] - numbers[before] - 1
        if missing > 0 and own.residue in (before, after):
            if missing > LONGEST_GAP:
                raise InputError(f"{own.label}: {missing} residues missing, more than {LONGEST_GAP}")
            between = tuple(range(numbers[before] + 1, numbers[after]))
            return Gap(before=before, after=after, names=("ALA",) * missing, numbers=between), False
    raise InputError(f"{own.label}: nothing is missing next to it")
