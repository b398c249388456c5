"""Damage a good model, let `burnish cycle` repair it, and count what was found, repaired and changed wrongly.

Usage: planted_errors.py MODEL DATA FOLDER [--rounds N] [--ligand NAME_OR_CIF]... [--labels F,SIGF] [--seed N]
       planted_errors.py --table FOLDER...        one table of several runs

Planted, all seeded, only where the model is well determined (B, and fit to the density of the model as it was): side
chains in another rotamer, side chains cut at Cβ, peptides turned over, waters removed, waters put where there are none,
loops of six residues and one ligand removed, and 0.3 Å of noise on every atom. A side chain counts as repaired when its
atoms beyond Cβ are within 0.7 Å rms of where they were, a peptide when its oxygen is within 1 Å, a removed water when
one is within 0.7 Å of its place, a misplaced one when none is left there, a loop when its main chain is within 1 Å rms,
a ligand when its atoms are within 1 Å rms of atoms of a ligand. Found: a move was tried there. Places are compared up
to symmetry.

Changed, not planted: undamaged side chains that moved by 1.5 Å rms, oxygens of the main chain by 1.8 Å and waters, not
faint, that have none within 1 Å. Wrong changes are those among them that were well determined, by the rule for what is
planted. For each change the density of the undamaged model, the residue itself left out, is told at the old place and
at the new. Counted apart are amides and imidazoles turned over, since density does not tell which way round they were,
and waters in whose place an ion stands.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms, without_hydrogens
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.core.events import ignore
from burnish.io.models import atoms_of, read_model
from burnish.maps.sampling import local_spline, sample, spline_map
from burnish.options.rebuild import RebuildOptions
from burnish.rebuild.conformations import BACKBONE, chi_of, with_chi, with_peptide_turned
from burnish.rebuild.evidence import zone_density
from burnish.rebuild.scene import Scene
from burnish.validate.density_fit import residue_fits
from burnish.validate.flips import SWAPS
from burnish.validate.rotamers import validate_rotamers
from burnish.workflows.model_rounds import make_scene, make_term, read_start

SHARE = {"rotamers": 0.10, "cut": 0.05, "peptides": 0.05, "waters removed": 0.3, "waters misplaced": 0.1}
RESIDUES_A_LOOP = 80  # one loop is removed for so many residues
LOOP = 6
NOISE = 0.3  # Å rms of each atom's displacement
Array = NDArray[np.float64]

SHOWN, SEEN = 0.85, 1.0  # correlation of a residue, and density of a water, σ, that are well determined
FIT_B = 1.3  # only side chains whose B is below this times the mean of the model are damaged: they have density


@dataclass(frozen=True)
class Damage:
    """What was done, by residue label, and the model it was done to."""

    structure: gemmi.Structure
    rotamers: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    peptides: list[str] = field(default_factory=list)
    removed: list[list[float]] = field(default_factory=list)
    misplaced: list[list[float]] = field(default_factory=list)
    loops: list[list[str]] = field(default_factory=list)
    ligand: dict[str, list[list[float]]] = field(default_factory=dict)
    faint: list[str] = field(default_factory=list)  # waters that the density of the undamaged model does not show
    clear: list[str] | None = None  # residues whose side chain might have been damaged; None for all
    clear_peptides: list[str] | None = None  # residues whose oxygen might have been; None for all


def undamaged_scene(model: Path, options: argparse.Namespace) -> Scene:
    """The undamaged model in its density."""
    columns = {"labels": options.labels} if options.labels else {}
    asked = RebuildOptions(model=model, data=options.data, out=options.folder, ligand=tuple(options.ligand), **columns)
    start = read_start(asked, ignore, cycles=0)
    return make_scene(start, without_hydrogens(start.inputs.topology.structure), make_term(start, ignore))


def fits_of(scene: Scene) -> dict[str, tuple[float, float]]:
    """Correlation and density, σ, of each residue, by its label."""
    maps, atoms = scene.evidence.maps, scene.evidence.atoms
    electrons = torch.tensor([float(gemmi.Element(e).atomic_number) for e in atoms.elements])
    fits = residue_fits(
        maps.density,
        maps.calculated,
        maps.difference,
        atoms.xyz,
        atoms.b_iso,
        atoms.occ,
        electrons,
        scene.views,
        maps.d_min,
    )
    return {scene.views[f.view].label: (f.correlation, f.density) for f in fits}


def told_by_density(scene: Scene, label: str, was: dict[str, Array], now: dict[str, Array]) -> str:
    """Density at the atoms of a residue, σ in the mean, where they were and where they are.

    It is that of the undamaged model, whose phases speak for the old place, with the residue's own share left out.
    """
    atoms = [a for v in scene.views if f"{v.chain} {v.number} {v.name}" == label for a in v.atoms.values()]
    spline = spline_map(zone_density(scene.evidence, np.array(sorted(set(atoms)), dtype=np.int64)))
    names = [n for n in was if n in now]
    old, new = (np.stack([place[n] for n in names]) for place in (was, now))
    rho = [float(sample(spline, torch.from_numpy(x)).mean()) / scene.evidence.sigma for x in (old, new)]
    return f"{label} ({rho[0]:.1f} → {rho[1]:.1f} σ)"


def away_from(structure: gemmi.Structure, spot: Sequence[float], places: Array) -> float:
    """Distance of a place from the nearest of others or of their symmetry mates, Å; infinite without any."""
    here = gemmi.Position(*(float(x) for x in spot))
    cell = structure.cell
    return min(
        (cell.find_nearest_image(here, gemmi.Position(*p), gemmi.Asu.Any).dist() for p in places.tolist()),
        default=math.inf,
    )


def graph_of(structure: gemmi.Structure) -> dict[int, list[int]]:
    """Bonds within residues by distance."""
    graph: dict[int, list[int]] = {}
    start = 0
    for chain in structure[0]:
        for residue in chain:
            for i, a in enumerate(residue):
                for j in range(i):
                    reach = 2.0 if "S" in (a.element.name, residue[j].element.name) else 1.75
                    if a.pos.dist(residue[j].pos) < reach:
                        graph.setdefault(start + i, []).append(start + j)
                        graph.setdefault(start + j, []).append(start + i)
            start += len(residue)
    return graph


def pick_loops(
    views: Sequence[ResidueView], b_iso: np.ndarray, shown: set[int], rng: np.random.Generator, number: int
) -> list[range]:
    """Stretches of single-conformer residues inside a chain whose main chain is well determined."""
    good = [
        i in shown and v.kind == "protein" and v.is_primary and not v.altloc
        and v.indices("N", "CA", "C", "O") is not None
        and b_iso[list(v.indices("N", "CA", "C", "O") or ())].max() < FIT_B * b_iso.mean()
        for i, v in enumerate(views)
    ]  # fmt: skip
    found: list[range] = []
    for first in rng.permutation(len(views) - LOOP - 8):
        stretch = range(int(first) + 4, int(first) + 4 + LOOP)
        around = range(stretch[0] - 4, stretch[-1] + 5)
        linked = all(views[k].next == k + 1 for k in around[:-1])
        free = all(abs(stretch[0] - f[0]) > 2 * LOOP for f in found)
        metal = any(views[k].name == "CYS" for k in stretch)
        if linked and free and not metal and all(good[k] for k in around):
            found.append(stretch)
        if len(found) == number:
            break
    return found


def pick_ligand(views: Sequence[ResidueView], b_iso: np.ndarray, names: Sequence[str]) -> ResidueView | None:
    """The first ligand of one of these components."""
    return next((v for v in views if v.kind == "other" and v.name in names and not v.altloc), None)


def damage(
    structure: gemmi.Structure,
    seed: int,
    ligands: Sequence[str] = (),
    scene: Scene | None = None,
) -> Damage:
    """Plant the errors.

    Parameters
    ----------
    structure : without hydrogens.
    seed : of all that is random.
    ligands : one of these components is removed.
    scene : the same model in its density; without it B alone says what is well determined.
    """
    fits = None if scene is None else fits_of(scene)
    rng = np.random.default_rng(seed)
    views, xyz = residue_views(structure[0]), atoms_of(structure).xyz.numpy().copy()
    truth = xyz.copy()
    b_iso = atoms_of(structure).b_iso.numpy()
    graph = graph_of(structure)
    good = {r.view for r in validate_rotamers(torch.from_numpy(xyz), views) if r.verdict == "favoured"}
    shown = {i for i, v in enumerate(views) if fits is None or fits.get(v.label, (0.0, 0.0))[0] > SHOWN}
    seen = {i for i, v in enumerate(views) if fits is None or fits.get(v.label, (0.0, 0.0))[1] > SEEN}
    proteins = [i for i, v in enumerate(views) if v.kind == "protein" and not v.altloc and v.is_primary and i in shown]
    loops = pick_loops(views, b_iso, shown, rng, max(1, len(proteins) // RESIDUES_A_LOOP))
    cool = {i for i in proteins if b_iso[list(views[i].atoms.values())].max() < FIT_B * b_iso.mean()}
    near_loops = {k for stretch in loops for k in range(stretch[0] - 2, stretch[-1] + 3)}
    sides = [
        i
        for i in proteins
        if i in good and i not in near_loops and views[i].name not in ("PRO", "ALA", "GLY", "CYS") and i in cool
    ]
    order = [int(i) for i in rng.permutation(sides)]
    count = max(3, round(SHARE["rotamers"] * len(sides)))
    chosen, cut = order[:count], order[count : count + max(2, round(SHARE["cut"] * len(sides)))]
    turned_sides = []
    for i in chosen:
        now = np.array(chi_of(xyz, views[i]))
        other = [
            r
            for r in rotamers_of(views[i].name)
            if r.frequency > 0.03 and np.abs(np.angle(np.exp(1j * (np.array(r.chi) - now)))).max() > math.radians(60)
        ]
        if other:
            moved = with_chi(xyz, views[i], graph, other[rng.integers(len(other))].chi)
            place = {n: moved[a] for n, a in views[i].atoms.items()}
            was = {n: truth[a] for n, a in views[i].atoms.items()}
            if side_rms(was, place, views[i].name) > 0.7:  # turning a ring by half a turn is no damage
                xyz = moved
                turned_sides.append(i)
    peptides = []
    for i in rng.permutation(proteins):
        turned = with_peptide_turned(xyz, views, int(i), math.pi)
        if turned is not None and not {int(i), views[i].next} & ({*chosen, *cut} | near_loops):
            xyz = turned
            peptides.append(views[i].label)
            if len(peptides) >= max(2, round(SHARE["peptides"] * len(proteins))):
                break
    waters = [(i, v.atoms["O"]) for i, v in enumerate(views) if v.kind == "water" and "O" in v.atoms and not v.altloc]
    well = [a for i, a in waters if b_iso[a] < 1.5 * b_iso.mean() and i in seen]
    gone = rng.choice(well, round(SHARE["waters removed"] * len(well)), replace=False) if well else []
    number = round(SHARE["waters misplaced"] * len(waters))
    misplaced = spots_without_water(structure, np.concatenate([truth, xyz]), rng, number, scene)
    ligand = pick_ligand(views, b_iso, ligands)
    doomed = {int(a) for a in gone}
    doomed |= {a for i in cut for n, a in views[i].atoms.items() if n not in BACKBONE and n != "CB"}
    doomed |= {a for stretch in loops for k in stretch for a in views[k].atoms.values()}
    doomed |= set(ligand.atoms.values()) if ligand else set()
    noisy = xyz + rng.normal(0.0, NOISE / math.sqrt(3.0), xyz.shape)
    damaged = without_atoms(with_positions(structure, noisy), doomed)
    damaged, _ = with_waters(damaged, [(s[0], s[1], s[2]) for s in misplaced], [25.0] * len(misplaced))
    return Damage(
        structure=damaged,
        rotamers=[views[i].label for i in turned_sides],
        cut=[views[i].label for i in cut],
        peptides=peptides,
        removed=[truth[a].tolist() for a in gone],
        misplaced=misplaced,
        loops=[[views[k].label for k in stretch] for stretch in loops],
        ligand={ligand.name: truth[list(ligand.atoms.values())].tolist()} if ligand else {},
        faint=[f"{views[i].chain} {views[i].number}" for i, _ in waters if i not in seen],
        clear=[views[i].label for i in proteins if i in cool],
        clear_peptides=[views[i].label for i in proteins],
    )


def spots_without_water(
    structure: gemmi.Structure, xyz: Array, rng: np.random.Generator, number: int, scene: Scene | None
) -> list[list[float]]:
    """Places 3 to 4 Å from some atom, at least 2.9 Å from every other and its mates, and without density.

    Parameters
    ----------
    structure : whose symmetry holds.
    xyz : where atoms are or were, Å. (n, 3)
    rng, number : of places.
    scene : the undamaged model in its density; None does not ask it.
    """
    found: list[list[float]] = []
    while len(found) < number:
        direction = rng.normal(size=3)
        spot = xyz[rng.integers(len(xyz))] + rng.uniform(3.0, 4.0) * direction / np.linalg.norm(direction)
        if np.linalg.norm(xyz - spot, axis=1).min() < 2.9:
            continue
        if not _is_empty(spot, scene):
            continue
        if away_from(structure, spot.tolist(), np.concatenate([xyz, np.array(found).reshape(-1, 3)])) > 2.9:
            found.append(spot.tolist())
    return found


def _is_empty(spot: Array, scene: Scene | None) -> bool:
    """Whether the density of the undamaged model shows nothing at a place (3,)."""
    if scene is None:
        return True
    there = local_spline(scene.evidence.maps.density, torch.from_numpy(spot[None]))
    return float(sample(there, torch.from_numpy(spot[None]))[0]) < SEEN * scene.evidence.sigma


def side_rms(a: dict[str, np.ndarray], b: dict[str, np.ndarray], name: str, *, amides: bool = False) -> float:
    """Rms distance of the atoms beyond Cβ; rings and carboxylates may be turned over, and, if asked, amides."""
    names = [n for n in a if n in b and n not in BACKBONE and n != "CB"]
    swaps = {"PHE": ("D", "E"), "TYR": ("D", "E"), "ASP": ("D",), "GLU": ("E",), "ARG": ("H",)}
    best = math.inf
    for turned in (False, True):

        def other(n: str, turned: bool = turned) -> str:
            if turned and name in swaps and len(n) > 2 and n[-2] in swaps[name] and n[-1] in "12":
                return n[:-1] + ("2" if n[-1] == "1" else "1")
            if turned and amides:
                return SWAPS.get(name, {}).get(n, n)
            return n

        square = [float(((a[n] - b[other(n)]) ** 2).sum()) for n in names if other(n) in b]
        best = min(best, math.sqrt(sum(square) / max(len(square), 1)))
    return best


def residues_of(structure: gemmi.Structure) -> dict[str, dict[str, np.ndarray]]:
    """Positions by residue label and atom name, first conformers."""
    views, xyz = residue_views(structure[0]), atoms_of(structure).xyz.numpy()
    return {f"{v.chain} {v.number} {v.name}": {n: xyz[a] for n, a in v.atoms.items()} for v in views if v.is_primary}


def oxygens_of(structure: gemmi.Structure) -> np.ndarray:
    """Positions of all waters. (n, 3)"""
    return np.array([s.atom.pos.tolist() for s in structure[0].all() if s.residue.is_water()]).reshape(-1, 3)


def main_chain_rms(was: dict, now: dict, labels: Sequence[str]) -> float:
    """Rms distance of N, CA, C, O of some residues; infinite where one is missing."""
    square = []
    for k in labels:
        for n in ("N", "CA", "C", "O"):
            if k not in now or n not in now[k]:
                return math.inf
            square.append(float(((was[k][n] - now[k][n]) ** 2).sum()))
    return math.sqrt(float(np.mean(square)))


def ligand_rms(structure: gemmi.Structure, done: Damage) -> float:
    """Distance of the removed ligand's atoms from the nearest atoms of a ligand of its name, rms."""
    (name, places), *_ = done.ligand.items()
    atoms = np.array([s.atom.pos.tolist() for s in structure[0].all() if s.residue.name == name]).reshape(-1, 3)
    if len(atoms) == 0:
        return math.inf
    away = np.array([away_from(structure, p, atoms) for p in places])
    return float(np.sqrt((away**2).mean()))


def count(
    truth: gemmi.Structure,
    done: Damage,
    repaired: gemmi.Structure,
    tried: Sequence[str] = (),
    scene: Scene | None = None,
) -> dict[str, dict[str, int | str]]:
    """Planted, found and repaired by kind, and what was right and is not any more.

    Parameters
    ----------
    truth : before the damage.
    done : the damage.
    repaired : to be judged.
    tried : residues that moves were weighed at, as in `moves.jsonl`.
    scene : the undamaged model in its density, which is asked about what was changed; None asks nothing.
    """
    was, now = residues_of(truth), residues_of(repaired)
    text = " | ".join(tried)
    waters = oxygens_of(repaired)

    def near(spot: Sequence[float], reach: float) -> bool:
        return away_from(truth, spot, waters) < reach

    def whole(k: str) -> bool:
        return k in now and set(was[k]) - {"OXT"} <= set(now[k])

    def row(planted: Sequence, repaired_ones: Sequence, found: int) -> dict[str, int | str]:
        return {"planted": len(planted), "found": max(found, len(repaired_ones)), "repaired": len(repaired_ones)}

    mentioned = lambda labels: sum(k in text for k in labels)  # noqa: E731
    sides = {k: side_rms(was[k], now[k], k.split()[-1]) for k in was if k in now and len(was[k]) > 5}
    table: dict[str, dict[str, int | str]] = {
        "rotamers": row(done.rotamers, [k for k in done.rotamers if sides.get(k, 9) < 0.7], mentioned(done.rotamers)),
        "side chains cut": row(
            done.cut, [k for k in done.cut if whole(k) and sides.get(k, 9.0) < 0.7], mentioned(done.cut)
        ),
        "peptides": row(
            done.peptides,
            [k for k in done.peptides if k in now and np.linalg.norm(was[k]["O"] - now[k]["O"]) < 1.0],
            mentioned(done.peptides),
        ),
        "waters removed": row(done.removed, [s for s in done.removed if near(s, 0.7)], 0),
        "waters misplaced": row(done.misplaced, [s for s in done.misplaced if not near(s, 0.7)], 0),
        "loops of 6": row(
            done.loops,
            [x for x in done.loops if main_chain_rms(was, now, x) < 1.0],
            sum(all(k in now for k in x) for x in done.loops),
        ),
    }
    if done.ligand:
        ok = [1] if ligand_rms(repaired, done) < 1.0 else []
        table["ligand"] = row([1], ok, int(any(r.name in done.ligand for c in repaired[0] for r in c)))
    table.update(_changes(truth, done, repaired, sides, scene))
    return table


def _changes(
    truth: gemmi.Structure,
    done: Damage,
    repaired: gemmi.Structure,
    sides: dict[str, float],
    scene: Scene | None,
) -> dict[str, dict[str, int | str]]:
    """What was not damaged and is not any more where it was: all of it, and what was well determined."""
    was, now = residues_of(truth), residues_of(repaired)
    lost = {k for labels in done.loops for k in labels}
    right = [k for k in sides if k not in {*done.rotamers, *done.cut, *lost} and k.split()[-1] != "HOH"]
    moved = [k for k in right if sides[k] > 1.5]
    amides = [k for k in moved if side_rms(was[k], now[k], k.split()[-1], amides=True) < 1.0]
    wrong = [k for k in moved if k not in amides]
    oxygens = [k for k in was if "O" in was[k] and "CA" in was[k] and k in now and k not in {*done.peptides, *lost}]
    over = [k for k in oxygens if np.linalg.norm(was[k]["O"] - now[k].get("O", np.full(3, 99.0))) > 1.8]
    kept, gone, ions = _waters_kept(truth, done, repaired)

    def told(k: str, names: Sequence[str]) -> str:
        parts = [{n: x for n, x in r[k].items() if n in names} for r in (was, now)]
        return k if scene is None or not set(parts[0]) & set(parts[1]) else told_by_density(scene, k, *parts)

    beyond = {k: [n for n in was[k] if n not in BACKBONE and n != "CB"] for k in wrong}

    def row(clear: set[str], clear_peptides: set[str]) -> dict[str, int | str]:
        names = [told(k, beyond[k]) for k in wrong if k in clear]
        names += [f"{told(k, ['O'])} O" for k in over if k in clear_peptides]
        return {
            "planted": sum(k in clear for k in right) + sum(k in clear_peptides for k in oxygens) + kept,
            "found": len(amides),
            "repaired": len(names) + len(gone),
            "names": ", ".join([*names, *gone]),
            "amides": ", ".join(amides),
            "ions": ", ".join(ions),
        }

    everything = set(was)
    return {
        "changed wrongly": row(
            everything if done.clear is None else set(done.clear),
            everything if done.clear_peptides is None else set(done.clear_peptides),
        ),
        "changed, all": row(everything, everything),
    }


def _waters_kept(truth: gemmi.Structure, done: Damage, repaired: gemmi.Structure) -> tuple[int, list[str], list[str]]:
    """How many well-determined waters were left in the damaged model, which are gone, and which are ions now."""
    atoms, waters = atoms_of(truth), oxygens_of(repaired)
    removed = np.array(done.removed).reshape(-1, 3)
    alone = [s.atom for s in repaired[0].all() if s.residue.name == s.atom.name]
    ions = np.array([a.pos.tolist() for a in alone]).reshape(-1, 3)
    gone: list[str] = []
    renamed: list[str] = []
    kept = 0
    for index, site in enumerate(truth[0].all()):
        spot = atoms.xyz[index].tolist()
        if not site.residue.is_water() or site.atom.altloc != "\0":
            continue
        if f"{site.chain.name} {site.residue.seqid}" in done.faint:
            continue
        if float(atoms.b_iso[index]) > 1.5 * float(atoms.b_iso.mean()):
            continue
        if len(removed) and np.linalg.norm(removed - spot, axis=1).min() < 0.01:
            continue
        kept += 1
        if away_from(truth, spot, waters) > 1.0:
            name = f"water {site.residue.seqid}"
            (renamed if away_from(truth, spot, ions) < 0.7 else gone).append(name)
    return kept, gone, renamed


def missed(truth: gemmi.Structure, done: Damage, folder: Path) -> dict[str, list[str]]:
    """Names of what was planted and is not repaired, for a person to look at."""
    repaired = read_model(folder / "cycle" / "refined.cif").structure
    was, now, waters = residues_of(truth), residues_of(repaired), oxygens_of(repaired)
    sides = {k: side_rms(was[k], now[k], k.split()[-1]) for k in (*done.rotamers, *done.cut) if k in now}
    named = {tuple(s.atom.pos.tolist()): str(s.residue.seqid) for s in truth[0].all() if s.residue.is_water()}
    nearest = {tuple(p): name for p in done.removed for at, name in named.items() if math.dist(p, at) < 0.01}
    return {
        "side chains": [f"{k} {r:.1f} Å" for k, r in sides.items() if r > 0.7],
        "waters": [nearest[tuple(p)] for p in done.removed if away_from(truth, p, waters) > 0.7],
        "misplaced": [str(np.round(p, 1)) for p in done.misplaced if away_from(truth, p, waters) < 0.7],
    }


def write_sequence(structure: gemmi.Structure, path: Path) -> bool:
    """The sequences of the undamaged model, as its file has them or as it is built; whether there are any."""
    model = structure.clone()
    model.setup_entities()
    lines = []
    for chain in model[0]:
        polymer = chain.get_polymer()
        if polymer.check_polymer_type() != gemmi.PolymerType.PeptideL:
            continue
        entity = model.get_entity_of(polymer)
        names = [gemmi.Entity.first_mon(n) for n in entity.full_sequence] if entity and entity.full_sequence else []
        names = names or [r.name for r in polymer]
        codes = [gemmi.find_tabulated_residue(n).one_letter_code for n in names]
        text = "".join(c if c.isupper() else f"({n})" for c, n in zip(codes, names, strict=True))
        lines.append(f">{chain.name}\n{text}\n")
    path.write_text("".join(lines))
    return bool(lines)


def repair(truth: gemmi.Structure, options: argparse.Namespace, done: Damage) -> dict:
    """Run the cycle on the damaged model; its summary and what it took."""
    damaged = options.folder / "damaged.cif"
    done.structure.make_mmcif_document().write_file(str(damaged))
    command = [sys.executable, "-m", "burnish.cli.main", "cycle", str(damaged), str(options.data)]
    command += ["--out", str(options.folder / "cycle"), "--rounds", str(options.rounds), "--json"]
    if write_sequence(truth, options.folder / "sequence.fasta"):
        command += ["--sequence", str(options.folder / "sequence.fasta")]
    for ligand in options.ligand:
        command += ["--ligand", ligand]
    command += ["--labels", options.labels] if options.labels else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary: dict = json.loads(ended.stdout)
    summary["cpu_s"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return summary


def as_table(folders: Sequence[Path]) -> str:
    """One row a kind, one column a run, repaired (found) of planted, and all runs together."""
    runs = [json.loads((f / "result.json").read_text()) for f in folders]
    kinds = list(dict.fromkeys(k for run in runs for k in run["after"]))
    lines = ["| | " + " | ".join(f.name for f in folders) + " | together |", "|" + "---|" * (len(runs) + 2)]
    for kind in kinds:
        rows = [run["after"].get(kind) for run in runs]
        cells = []
        for r in rows:
            if r is None or r["planted"] == 0:
                cells.append("")
            elif kind.startswith("changed"):
                cells.append(f"{r['repaired']} of {r['planted']}")
            else:
                cells.append(f"{r['repaired']} ({r['found']}) of {r['planted']}")
        total = {k: sum(r[k] for r in rows if r) for k in ("planted", "repaired")}
        share = 100.0 * total["repaired"] / max(total["planted"], 1)
        lines.append(f"| {kind} | {' | '.join(cells)} | {total['repaired']} of {total['planted']}, {share:.1f} % |")
    agreement = [f"{r['summary']['r_free_first']:.3f} → {r['summary']['r_free']:.3f}" for r in runs]
    lines.append(f"| R-free | {' | '.join(agreement)} | |")
    lines.append(f"| CPU s | {' | '.join(str(r['summary']['cpu_s']) for r in runs)} | |")
    return "\n".join(lines)


def main() -> None:
    """Damage, repair, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", nargs="+", type=Path)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ligand", action="append", default=[])
    parser.add_argument("--remove", action="append", default=[], help="component code of the ligand to remove")
    parser.add_argument("--labels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", action="store_true", help="count anew what an earlier run of this seed left")
    options = parser.parse_args()
    if options.table:
        print(as_table(options.table))
        return
    truth = without_hydrogens(read_model(options.model).structure)
    scene = undamaged_scene(options.model, options)
    done = damage(truth, options.seed, options.remove, scene)
    options.folder.mkdir(parents=True, exist_ok=True)
    result = options.folder / "result.json"
    summary = json.loads(result.read_text())["summary"] if options.count else repair(truth, options, done)
    before = count(truth, done, done.structure)
    lines = (options.folder / "cycle" / "moves.jsonl").read_text().splitlines()
    tried = [json.loads(line)["residue"] for line in lines]
    after = count(truth, done, read_model(options.folder / "cycle" / "refined.cif").structure, tried, scene)
    recorded = {"before": before, "after": after, "summary": summary, "missed": missed(truth, done, options.folder)}
    result.write_text(json.dumps(recorded, indent=1, default=str))
    print(as_table([options.folder]))
    for kind in ("changed wrongly", "changed, all"):
        print(kind, {k: after[kind][k] for k in ("names", "amides", "ions")})
    print("missed", recorded["missed"])


if __name__ == "__main__":
    main()
