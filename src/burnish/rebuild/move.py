"""What every automated change of a model is: candidates, a judgement on equal terms, and a record to undo it by.

A move proposes other positions for the atoms of a zone. Every candidate and the zone as it is are refined in the same
way against the same density; the best candidate replaces the zone when its energy is lower by a margin and the density
at its atoms is not worse. Where the likelihood of the data is known, it speaks in the energy in place of the density.
Where density was the only complaint, it must win by the margin, or all together by twice as much; where the difference
map shows the atoms of the candidate, no margin is asked. Where refining the zone alone takes it to another place as
good, that is taken. Both numbers of everything that was weighed are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from burnish.rebuild.atom_rows import AtomRow
from burnish.rebuild.zone import Surroundings, Target, Zone, ZoneEnergy, ZoneResult, ZoneSystem, make_zone
from burnish.rebuild.zone_refinement import first_scores, refine_zone, refine_zones, zone_energy

Array = NDArray[np.float64]
Index = NDArray[np.int64]

MARGIN = 4.0  # −log probability by which a candidate must win
SHOWN_MEAN, SHOWN_LEAST = 3.0, 1.2  # σ of mFo − DFc at the new places of a candidate that the difference map shows
SHOWN_APART = 0.9  # Å; a place nearer than that to an atom of the zone as it is is not new
FINALISTS, FIRST_STEPS = 4, 8  # of many candidates, how many are refined to the end, after how many steps
MET = 0.2  # Å rms; candidates nearer to each other than that after the first steps end in one place
WORST_CONTACT = 60.0  # energy of contacts that refinement may resolve
SETTLED = 0.7  # Å rms; a zone that moves farther than that when it is refined as it is was not where it belongs
LEAST_DENSITY_CHANGE = -0.3  # σ; a better energy does not excuse worse density than that


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Positions that a zone might have.

    Attributes
    ----------
    name : what it is ("mt-10°", "flipped").
    xyz : of the zone's atoms, Å. (m, 3)
    """

    name: str
    xyz: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place where a move may change the model.

    Attributes
    ----------
    kind : of the move ("rotamer", "peptide flip").
    residue : as a person writes it.
    view : index into the residue views.
    atoms : that may move. (m,)
    judged : those of `atoms` that the density is compared at: what the move is about. bool (m,)
    candidates : other positions.
    why : what made the place suspicious.
    refined : how many candidates are refined, the others being out after their first score.
    apart : rms distance at the judged atoms, Å, by which the candidates that are refined differ from each other.
    settled : rms distance, Å, from which on refining the zone as it is is a change to be taken by itself.
    for_density : whether density alone made the place suspicious; a little strain is then no reason to change it.
    by_density : whether density must win by the margin itself: what is rare is not taken for less strain alone.
    steps : most steps of each refinement.
    """

    kind: str
    residue: str
    view: int
    atoms: Index
    judged: NDArray[np.bool_]
    candidates: tuple[Candidate, ...]
    why: str
    refined: int = 3
    apart: float = 0.0
    settled: float = SETTLED
    for_density: bool = False
    by_density: bool = False
    steps: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Numbers of one candidate, refined.

    Attributes
    ----------
    name : of the candidate; "as is" for the zone unchanged.
    energy : total with the torsion term, −log probability.
    geometry, contact, density, torsions : its parts; `density` is what −log likelihood of the data changes by where
        that is known.
    mean_density, least_density : at the judged atoms, σ of 2mFo − DFc.
    """

    name: str
    energy: float
    geometry: float
    contact: float
    density: float
    torsions: float
    mean_density: float
    least_density: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRecord:
    """One move as it was decided.

    Attributes
    ----------
    kind, residue, why : of the site.
    accepted : whether the model was changed.
    reason : why, in words.
    before, after : numbers of the zone as it was and of the best candidate; `after` is None where none was proposed.
    undo : name and former position of every atom that was moved, removed or renamed.
    added : names of the atoms that are new, which to take back is to remove.
    removed : atoms that are gone, with all that the model said of them.
    """

    kind: str
    residue: str
    why: str
    accepted: bool
    reason: str
    before: Judgement | None
    after: Judgement | None
    undo: tuple[tuple[str, tuple[float, float, float]], ...] = field(default=())
    added: tuple[str, ...] = field(default=())
    removed: tuple[AtomRow, ...] = field(default=())


TorsionEnergy = Callable[[Array], Array]
DifferenceAt = Callable[[Array], Array]
DataEnergy = Callable[[Array], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The model that a zone is part of.

    Attributes
    ----------
    system, around : restraints and neighbours.
    xyz : positions of all atoms, Å. (n, 3)
    names : of all atoms, for the record.
    system_after : restraints of the candidates where they are not those of the zone as it is: a peptide that becomes
        trans has other ones.
    """

    system: ZoneSystem
    around: Surroundings
    xyz: Array
    names: Sequence[str]
    system_after: ZoneSystem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """What the conformations of a zone are asked.

    Attributes
    ----------
    target : the density of this zone alone.
    torsion_energy : −log probability of backbone and side-chain torsions for positions of the zone, (c, m, 3) → (c,).
    difference : mFo − DFc in units of its rms at positions (k, 3) → (k,); None does not ask it.
    likelihood : what −log likelihood of the data changes by for positions of the zone (m, 3); in the decision it takes
        the place of the density, whose phases remember the zone as it is. None leaves it to the density.
    refused : whether refined positions of the judged atoms (j, 3) are not to be taken, because an earlier round left
        them.
    """

    target: Target
    torsion_energy: TorsionEnergy
    difference: DifferenceAt | None = None
    likelihood: DataEnergy | None = None
    refused: Callable[[Array], bool] | None = None


def judge_site(site: Site, whole: Whole, judges: Judges) -> tuple[MoveRecord, Array | None]:
    """Decide about one site.

    Returns
    -------
    The record, and the new positions of all atoms if the move was accepted, else None.
    """
    old, likelihood = whole.xyz[site.atoms], judges.likelihood
    contest = _contest(site, whole, judges)
    before, settled = contest.as_is
    if not contest.refined:
        return _record(site, False, contest.reason, before, None), None
    after, positions = min(contest.refined, key=lambda pair: pair[0].energy)
    if likelihood is not None:
        before, after = _by_data(before, likelihood(settled)), _by_data(after, likelihood(positions))
    shown = 0.0
    if judges.difference is not None:
        shown = float(shown_elsewhere(old, positions[None, site.judged], judges.difference)[0])
    accepted, reason = decide(before, after, shown=shown, for_density=site.for_density, by_density=site.by_density)
    away = _rms(settled - old, site.judged)
    if not accepted and away > site.settled:  # refining this zone alone leads to where the candidates lead
        given, density = zone_energy(whole.system, contest.zone, whole.xyz, old, judges.target)
        now = _judgement("as is", given, float(judges.torsion_energy(old[None])[0]), density[site.judged])
        now = now if likelihood is None else _by_data(now, likelihood(old))
        better, why = decide(now, replace(before, name="refined in place"))
        if better:
            accepted, reason, positions = True, f"{why}, {away:.1f} Å away", settled
            before, after = now, replace(before, name="refined in place")
    if accepted and judges.refused is not None and judges.refused(positions[site.judged]):
        accepted, reason = False, f"{after.name} is what an earlier round has left, or refinement since"
    if not accepted:
        return _record(site, False, reason, before, after), None
    undo = tuple(
        (whole.names[a], (float(p[0]), float(p[1]), float(p[2]))) for a, p in zip(site.atoms.tolist(), old, strict=True)
    )
    moved = whole.xyz.copy()
    moved[site.atoms] = positions
    return _record(site, True, reason, before, after, undo), moved


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contest:
    """The zone as it is and its candidates, refined on equal terms.

    Attributes
    ----------
    zone : what was refined.
    as_is, refined : numbers and positions (m, 3) of the zone and of the candidates that went to the end.
    reason : why no candidate did.
    """

    zone: Zone
    as_is: tuple[Judgement, Array]
    refined: list[tuple[Judgement, Array]]
    reason: str = "no other conformation"


def _contest(site: Site, whole: Whole, judges: Judges) -> _Contest:
    """Refine what a site proposes, and the zone as it is."""
    system, xyz, target, torsion_energy = whole.system, whole.xyz, judges.target, judges.torsion_energy
    old = xyz[site.atoms]
    starts = np.stack([old, *(c.xyz for c in site.candidates)])
    zone = make_zone(system, whole.around, site.atoms, starts)
    chosen: list[Candidate] = []
    if site.candidates:
        first = first_scores(system, zone, starts[1:], target, WORST_CONTACT) + torsion_energy(starts[1:])
        chosen = [site.candidates[k] for k in best_apart(first, starts[1:, site.judged], site.refined, site.apart)]

    def judged(names: Sequence[str], done: Sequence[ZoneResult]) -> list[tuple[Judgement, Array]]:
        extra = torsion_energy(np.stack([d.xyz for d in done])).tolist() if done else []
        rows = zip(names, done, extra, strict=True)
        return [(_judgement(name, d.energy, e, d.density[site.judged]), d.xyz) for name, d, e in rows]

    alike = whole.system_after is None
    later = whole.system_after or system
    zone_after = zone if alike else make_zone(later, whole.around, site.atoms, starts)
    names = [c.name for c in chosen]
    many = len(chosen) > FINALISTS and site.steps > FIRST_STEPS  # a few steps tell which are worth more
    steps = [FIRST_STEPS if many else site.steps] * len(chosen)
    places = np.stack([old, *(c.xyz for c in chosen)])
    if alike:
        first_done, *tried = refine_zones(system, zone, xyz, places, target, steps=[site.steps, *steps])
    else:
        first_done = refine_zone(system, zone, xyz, old, target, steps=site.steps)
        tried = refine_zones(later, zone_after, xyz, places[1:], target, steps=steps)
    as_is = judged(["as is"], [first_done])[0]
    if many:
        energy = np.array([j.energy for j, _ in judged(names, tried)])
        there = np.stack([done.xyz[site.judged] for done in tried])
        back = as_is[1][site.judged] if alike else None
        best = _finalists(energy, there, back, as_is[0].energy)
        if not best:
            reason = "every other conformation leads back to what is there"
            return _Contest(zone=zone, as_is=as_is, refined=[], reason=reason)
        names = [names[k] for k in best]
        tried = refine_zones(later, zone_after, xyz, np.stack([tried[k].xyz for k in best]), target, steps=site.steps)
    return _Contest(zone=zone, as_is=as_is, refined=judged(names, tried))


def _finalists(energy: Array, places: Array, back: Array | None, as_is: float) -> list[int]:
    """Which candidates, after a few steps, are refined to the end: the best that differ from each other.

    Those that have come to where the zone as it is has come, and are not better there, would end there.

    Parameters
    ----------
    energy : of each candidate. (c,)
    places : its judged atoms, Å. (c, j, 3)
    back : those of the zone as it is, refined; None where its restraints are others. (j, 3)
    as_is : its energy.
    """
    going = np.arange(len(energy))
    if back is not None:
        away = np.sqrt(((places - back) ** 2).sum(axis=2).mean(axis=1))
        going = np.flatnonzero((away > MET) | (energy < as_is - MARGIN))
    return [int(going[k]) for k in best_apart(energy[going], places[going], FINALISTS, MET)]


def best_apart(scores: Array, places: Array, most: int, apart: float) -> list[int]:
    """The best of many candidates that differ from each other, the best first.

    Of near copies of one conformation refinement makes the same; were they to take all places, others would never be
    weighed.

    Parameters
    ----------
    scores : lower is better. (c,)
    places : judged atoms of each candidate, Å. (c, j, 3)
    most : how many are wanted.
    apart : least rms distance between two of them, Å.
    """
    chosen: list[int] = []
    for k in np.argsort(scores, kind="stable").tolist():
        if len(chosen) == most:
            break
        away = np.sqrt(((places[chosen] - places[k]) ** 2).sum(axis=2).mean(axis=1))
        if len(chosen) == 0 or not (away < apart).any():
            chosen.append(k)
    return chosen


def _judgement(name: str, energy: ZoneEnergy, torsions: float, density: Array) -> Judgement:
    """Numbers of one conformation; `density` is that at the judged atoms, σ."""
    return Judgement(
        name=name,
        energy=energy.geometry + energy.contact + energy.density + torsions,
        geometry=energy.geometry,
        contact=energy.contact,
        density=energy.density,
        torsions=torsions,
        mean_density=float(density.mean()) if len(density) else 0.0,
        least_density=float(density.min()) if len(density) else 0.0,
    )


def _by_data(judgement: Judgement, data: float) -> Judgement:
    """The same with what the data say in place of the density."""
    return replace(judgement, energy=judgement.energy - judgement.density + data, density=data)


def _rms(moved: Array, chosen: NDArray[np.bool_]) -> float:
    """Root mean square length of the chosen rows (m, 3); 0 for none."""
    return float(np.sqrt((moved[chosen] ** 2).sum(axis=1).mean())) if chosen.any() else 0.0


def shown_elsewhere(old: Array, places: Array, difference: DifferenceAt) -> Array:
    """Mean difference density, σ, of conformations at those places that are new. (c,)

    It is 0 where there are none or one of them has too little.

    Parameters
    ----------
    old : positions as they are, Å. (m, 3)
    places : where atoms would be in each conformation, Å. (c, j, 3)
    difference : mFo − DFc in units of its rms.
    """
    new = np.linalg.norm(places[:, :, None] - old, axis=3).min(axis=2) > SHOWN_APART
    z = difference(places.reshape(-1, 3)).reshape(new.shape)
    mean = np.where(new, z, 0.0).sum(axis=1) / np.maximum(new.sum(axis=1), 1)
    return np.where(np.where(new, z, np.inf).min(axis=1) > SHOWN_LEAST, mean, 0.0)


def decide(
    before: Judgement, after: Judgement, *, shown: float = 0.0, for_density: bool = False, by_density: bool = False
) -> tuple[bool, str]:
    """Whether a candidate replaces the zone, and why, from their numbers alone.

    Parameters
    ----------
    before, after : the zone as it is and the candidate, both refined.
    shown : difference density at the new places, σ. The density of a zone remembers the atoms that made its phases;
        where the difference map shows those of the candidate, the two are compared without a margin.
    for_density : whether density alone made the place suspicious: a conformation that is usual already is left for
        other reasons than density only if these weigh twice as much.
    by_density : whether the density of the candidate must be better by the margin, whatever else is.
    """
    gain, from_density = before.energy - after.energy, before.density - after.density
    denser = after.mean_density - before.mean_density
    is_shown = shown > SHOWN_MEAN
    margin = 0.0 if is_shown else MARGIN
    if gain <= 0.0 or gain < margin:
        return False, f"{after.name} gains {gain:.1f}, {margin:.1f} needed"
    if denser < LEAST_DENSITY_CHANGE:
        return False, f"{after.name} gains {gain:.1f} but its density is lower by {-denser:.1f} σ"
    unseen = (for_density and gain < 2.0 * margin) or by_density
    if unseen and from_density < margin:
        return False, f"{after.name} gains {gain:.1f}, of which {from_density:.1f} from the data, {margin:.1f} needed"
    evidence = f", difference density {shown:.1f} σ at its new places" if is_shown else ""
    return True, f"{after.name}: energy lower by {gain:.1f}, density {denser:+.1f} σ{evidence}"


def _record(
    site: Site,
    accepted: bool,
    reason: str,
    before: Judgement | None,
    after: Judgement | None,
    undo: tuple[tuple[str, tuple[float, float, float]], ...] = (),
) -> MoveRecord:
    return MoveRecord(
        kind=site.kind,
        residue=site.residue,
        why=site.why,
        accepted=accepted,
        reason=reason,
        before=before,
        after=after,
        undo=undo,
    )
