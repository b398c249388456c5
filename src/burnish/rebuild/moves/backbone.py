"""The backbone of a few residues built anew, with their side chains carried along: for traces that went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from burnish.chemistry.angle_density import log_density
from burnish.chemistry.ramachandran import RamachandranClass, ramachandran_class, ramachandran_density
from burnish.chemistry.residues import ResidueView
from burnish.geometry.torsions import torsion_angles
from burnish.maps.sampling import sample
from burnish.rebuild.conformations import Array, torsion
from burnish.rebuild.loops import Anchors, Present, carbonyl_oxygens, loop_backbones
from burnish.rebuild.move import Candidate, Site, best_apart
from burnish.rebuild.torsion_energy import WORST_TORSION
from burnish.rebuild.zone import DENSITY_WEIGHT, Target
from burnish.validate.cbeta import ideal_cbeta

TRIALS = 16000
GOOD_DENSITY = 1.5  # σ; a residue all of whose main-chain atoms lie in more is taken to be right
DIFFERENT = 0.5  # Å rms; trials nearer than that to a better one are the same
KEPT = 16  # candidates by density that go on to be judged


def backbone_window(views: Sequence[ResidueView], index: int, size: int) -> tuple[int, ...] | None:
    """Views of `size` residues about one, which have a bonded residue on both sides; None at ends and conformers."""
    first = index
    for _ in range(size // 2):
        first = views[first].previous
        if first < 0:
            return None
    window = [first]
    for _ in range(size - 1):
        following = views[window[-1]].next
        if following < 0:
            return None
        window.append(following)
    ends = views[window[0]].previous, views[window[-1]].next
    if min(ends) < 0 or any(views[k].altloc or views[k].indices("N", "CA", "C", "O") is None for k in (*window, *ends)):
        return None
    return tuple(window)


def window_atoms(views: Sequence[ResidueView], window: Sequence[int]) -> np.ndarray:
    """Atoms that move: the window, the peptide before it and the backbone of the residue after it."""
    atoms = [a for k in window for a in views[k].atoms.values()]
    atoms += [views[views[window[0]].previous].atoms[n] for n in ("C", "O")]
    atoms += [views[views[window[-1]].next].atoms[n] for n in ("N", "CA", "C")]
    return np.array(sorted(set(atoms)), dtype=np.int64)


def window_label(views: Sequence[ResidueView], window: Sequence[int]) -> str:
    """A window as a person writes it."""
    return f"{views[window[0]].label} – {views[window[-1]].label}"


def backbone_site(
    xyz: Array,
    views: Sequence[ResidueView],
    window: Sequence[int],
    target: Target,
    why: str,
    turned: int | None = None,
) -> Site | None:
    """New backbones through the density as candidates; None where none closes.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views, window : residues, and which of them.
    target : the density of the zone alone, by which trials are sorted out.
    why : what is wrong.
    turned : view whose peptide before it is to be cis where it is trans, and trans where it is cis; prolines stay as
        they are otherwise, and all else is trans.
    """
    before_index, after_index = views[window[0]].previous, views[window[-1]].next
    before, after = views[before_index], views[after_index]
    points = torch.from_numpy(xyz)
    anchors = Anchors(
        before=points[list(before.indices("N", "CA", "C") or ())],
        after=points[list(after.indices("N", "CA", "C") or ())],
    )
    chain = [before, *(views[k] for k in window), after]
    names = [v.name for v in chain] + [views[after.next].name if after.next >= 0 else "ALA"]
    indices = (before_index, *window, after_index)
    cis = [is_to_be_cis(xyz, views, k, turned) for k in indices]
    kinds = [ramachandran_class(names[k], names[k + 1], is_cis=cis[k]) for k in range(len(chain))]
    generator = torch.Generator().manual_seed(0)
    omega = [0.0 if c else math.pi for c in cis[1:]]
    present = _present(xyz, views, indices, target)
    closed = loop_backbones(anchors, kinds[1:], kinds[0], present, omega, trials=TRIALS, generator=generator)
    if len(closed) == 0:
        return None
    oxygens = carbonyl_oxygens(closed, anchors.before)
    atoms = window_atoms(views, window)
    score = _torsion_cost(closed, anchors.before, kinds[1:-1]) - _density(target, closed, oxygens)
    order = best_apart(score.numpy(), closed.numpy(), KEPT, DIFFERENT)
    placed = _placed(xyz, views, window, atoms, closed[order], oxygens[order])
    candidates = [Candidate(name=f"backbone {k + 1}", xyz=place) for k, place in enumerate(placed)]
    main = {views[k].atoms[n] for k in window for n in ("N", "CA", "C", "O")}
    return Site(
        kind="backbone" if turned is None else "cis/trans",
        residue=window_label(views, window),
        view=window[len(window) // 2],
        atoms=atoms,
        judged=np.array([a in main for a in atoms.tolist()]),
        candidates=tuple(candidates),
        why=why,
        refined=KEPT,
        by_density=turned is not None and cis[indices.index(turned)],
        steps=40,
    )


def is_to_be_cis(xyz: Array, views: Sequence[ResidueView], index: int, turned: int | None) -> bool:
    """Whether the peptide before a residue is built cis: prolines as they are, others trans, `turned` the other way."""
    view = views[index]
    now = omega_before(xyz, views, index)
    is_cis = now is not None and abs(now) < math.radians(30.0)
    if index == turned:
        return not is_cis
    return is_cis and view.name == "PRO"


def omega_before(xyz: Array, views: Sequence[ResidueView], index: int) -> float | None:
    """ω of the peptide before a residue, rad; None at an end."""
    view = views[index]
    if view.previous < 0:
        return None
    ends = views[view.previous].indices("CA", "C"), view.indices("N", "CA")
    if ends[0] is None or ends[1] is None:
        return None
    return torsion(xyz, (*ends[0], *ends[1]))


def _present(xyz: Array, views: Sequence[ResidueView], chain: Sequence[int], target: Target) -> Present:
    """Torsions of a stretch as it is; good are residues whose main chain lies in density."""
    phi_psi = np.zeros((len(chain), 2))
    good = np.zeros(len(chain), dtype=bool)
    for k, index in enumerate(chain):
        n, ca, c, o = (views[index].atoms[name] for name in ("N", "CA", "C", "O"))
        if views[index].previous >= 0:
            phi_psi[k, 0] = torsion(xyz, (views[views[index].previous].atoms["C"], n, ca, c))
        if views[index].next >= 0:
            phi_psi[k, 1] = torsion(xyz, (n, ca, c, views[views[index].next].atoms["N"]))
        rho = sample(target.spline, torch.from_numpy(xyz[[n, ca, c, o]])) / target.sigma
        good[k] = bool(rho.min() > GOOD_DENSITY)
    bad = ~good  # the torsions next to a misplaced residue are wrong with it
    good = ~(bad | np.roll(bad, 1) | np.roll(bad, -1))
    good[0] = good[-1] = True
    return Present(phi_psi=torch.from_numpy(phi_psi), good=torch.from_numpy(good))


def _density(target: Target, closed: Tensor, oxygens: Tensor) -> Tensor:
    """Mean density of each trial, σ, its oxygens counting as much as the other atoms. (trials,)"""
    atoms = torch.cat([closed[:, :-3], oxygens], dim=1)
    rho = sample(target.spline, atoms.reshape(-1, 3)).reshape(len(closed), -1) / target.sigma
    return rho.clamp(max=5.0).mean(1) + 0.5 * rho.min(1).values.clamp(max=1.0)


def _torsion_cost(closed: Tensor, before: Tensor, kinds: Sequence[RamachandranClass]) -> Tensor:
    """−log probability of φ and ψ of each trial in the units of `_density`. (trials,)

    Closing turns torsions away from where they were drawn, some to where no residue is.
    """
    count, size = len(closed), len(kinds)
    full = torch.cat([before[None].expand(count, 3, 3), closed], dim=1)
    row = [torsion_angles(*(full[:, k + i] for i in range(4))) for k in range(2, 3 * size + 2) if k % 3 != 1]
    phi_psi = torch.stack(row, dim=1).reshape(count, size, 2)
    cost = torch.zeros(count, dtype=closed.dtype)
    for k, kind in enumerate(kinds):
        cost -= log_density(ramachandran_density(kind), phi_psi[:, k]).clamp(min=-WORST_TORSION)
    return cost / (DENSITY_WEIGHT * 4.0 * (size + 1))


def _placed(
    xyz: Array, views: Sequence[ResidueView], window: Sequence[int], atoms: Array, chains: Tensor, oxygens: Tensor
) -> Array:
    """The window's atoms on each new backbone, side chains moved with their Cα and Cβ. (c, m, 3)

    Parameters
    ----------
    atoms : of the window. (m,)
    chains, oxygens : backbones (c, 3 (n + 1), 3), and O of the residue before and of each of the window (c, n + 1, 3).
    """
    row = {a: k for k, a in enumerate(atoms.tolist())}
    placed = np.repeat(xyz[atoms][None], len(chains), axis=0)
    placed[:, row[views[views[window[0]].previous].atoms["O"]]] = oxygens[:, 0].numpy()
    for k, index in enumerate(window):
        view = views[index]
        n, ca, c = chains[:, 3 * k : 3 * k + 3].unbind(1)
        for name, position in (("N", n), ("CA", ca), ("C", c), ("O", oxygens[:, k + 1])):
            placed[:, row[view.atoms[name]]] = position.numpy()
        if "CB" not in view.atoms:
            continue
        cb = ideal_cbeta(n, ca, c, view.name).numpy()
        old = [xyz[view.atoms[name]][None] for name in ("CA", "CB", "N")]
        rotation = _frames(ca.numpy(), cb, n.numpy()) @ _frames(*old).transpose(0, 2, 1)
        side = [a for name, a in view.atoms.items() if name not in ("N", "CA", "C", "O", "OXT")]
        placed[:, [row[a] for a in side]] = (xyz[side] - old[1]) @ rotation.transpose(0, 2, 1) + cb[:, None]
    return placed


def _frames(origin: Array, along: Array, third: Array) -> Array:
    """Right-handed orthonormal axes as columns: x from origin to `along`, y towards `third`. (c, 3, 3)"""
    x = along - origin
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = third - origin
    y = y - (y * x).sum(axis=1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=2)


def is_wrong(deviation: float, omega: float | None, verdict: str, correlation: float, *, proline: bool) -> list[str]:
    """What speaks against the trace at a residue, from its numbers alone.

    Parameters
    ----------
    deviation : of its Cβ, Å.
    omega : of the peptide before it, rad; None at an end.
    verdict : Ramachandran's.
    correlation : of the residue with the density.
    proline : whether the residue is proline.
    """
    reasons = []
    if deviation > 0.5:
        reasons.append(f"Cβ deviation {deviation:.2f} Å")
    if omega is not None and abs(omega) < math.radians(150.0) and not (proline and abs(omega) < math.radians(30.0)):
        reasons.append(f"ω {math.degrees(omega):.0f}°")
    if verdict == "outlier":
        reasons.append("Ramachandran outlier")
    if correlation < 0.6:
        reasons.append(f"correlation {correlation:.2f}")
    return reasons
