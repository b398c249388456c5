"""Backbones built anew where they went wrong: windows of growing size about each place, the first better one taken."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from burnish.core.events import Listener, Message, Progress
from burnish.rebuild.bench import Bench
from burnish.rebuild.evidence import ZoneDensities, local_target
from burnish.rebuild.move import SETTLED
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, omega_before, window_atoms, window_label

CIS_LIMIT = math.radians(90.0)  # dictionaries take a peptide for cis below about this
BACKBONE_WINDOWS = (3, 4, 5)  # residues that are built anew about a wrong one; the first that is accepted ends it
Windows = dict[tuple[int, int], tuple[int, ...] | None]  # by residue and size
TOLD = 10  # messages of how far the search has come, where there are more places than that


def rebuild_backbones(
    bench: Bench, places: Sequence[tuple[int, str]], hands: Collection[int], listener: Listener
) -> None:
    """New backbones about each of the places, the worst first.

    Parameters
    ----------
    bench : the model; changed.
    places : views, with what is wrong there.
    hands : those of them whose Cα has the wrong hand: refining a window as it is may mend it by itself.
    listener : for messages and progress.
    """
    windows = {(k, size): backbone_window(bench.views, k, size) for k, _ in places for size in BACKBONE_WINDOWS}
    zones = {key: window_atoms(bench.views, window) for key, window in windows.items() if window is not None}
    densities = ZoneDensities(bench.evidence, zones)
    every, accepted = math.ceil(len(places) / TOLD), 0
    for done, (index, why) in enumerate(places, start=1):
        accepted += _rebuild_backbone(bench, densities, windows, index, why, 0.0 if index in hands else SETTLED)
        for size in BACKBONE_WINDOWS:
            densities.drop((index, size))
        listener(Progress("backbones", done, len(places)))
        if len(places) > TOLD and done % every == 0:
            listener(Message(f"backbone {done} of {len(places)} places, {accepted} built anew"))


def _rebuild_backbone(
    bench: Bench, densities: ZoneDensities, windows: Windows, index: int, why: str, settled: float
) -> bool:
    """New backbones for windows about one residue, the shortest first; whether one was better, and taken.

    A proline is tried cis and trans last. From `settled` Å on, refining a window as it is is a change as well.
    """
    for size in BACKBONE_WINDOWS:
        if _try_window(bench, densities, windows, (index, size), why, None, settled):
            return True
    following = bench.views[index].next
    prolines = [k for k in (index, following) if k >= 0 and bench.views[k].name == "PRO"]
    for turned in prolines if bench.model.monlib is not None else ():
        if _try_window(bench, densities, windows, (index, BACKBONE_WINDOWS[0]), why, turned):
            return True
    return False


def _try_window(
    bench: Bench,
    densities: ZoneDensities,
    windows: Windows,
    key: tuple[int, int],
    why: str,
    turned: int | None,
    settled: float = SETTLED,
) -> bool:
    """Judge new backbones of one window; whether the model was changed."""
    window = windows[key]
    if window is None:
        return False
    atoms, residue = densities.zones[key], window_label(bench.views, window)
    kind = "backbone" if turned is None else "cis/trans"
    if bench.memory.would_repeat(kind, residue, bench.xyz[atoms]):
        return False
    density = densities.of(key)
    target = local_target(bench.evidence, density, bench.xyz[atoms])
    site = backbone_site(bench.xyz, bench.views, window, target, why, turned)
    if site is None:
        bench.memory.remember_failure(kind, residue, bench.xyz[atoms])
        return False
    site = replace(site, settled=settled)
    ends = (*window, bench.views[window[-1]].next)
    other = turned is not None or any(_is_unusual(bench, k) for k in ends)
    return bench.judge(site, density, bench.system_with(site) if other else None)


def _is_unusual(bench: Bench, index: int) -> bool:
    """Whether the peptide before a residue that is no proline is not trans: its restraints may be those of cis."""
    omega = omega_before(bench.xyz, bench.views, index)
    return omega is not None and abs(omega) < CIS_LIMIT and bench.views[index].name != "PRO"
