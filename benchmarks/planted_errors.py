"""Damage a good model, let `burnish cycle` repair it, and count what was found, repaired and changed wrongly.

Usage: planted_errors.py MODEL DATA FOLDER [--rounds N] [--ligand NAME_OR_CIF]... [--labels F,SIGF] [--seed N]
       planted_errors.py --table FOLDER...        one table of several runs

Planted, all seeded, only where the model is well determined (B, and fit to the density of the model as it was): side
chains in another rotamer, side chains cut at Cβ, peptides turned over, waters removed, waters put where there are none,
loops of six residues and one ligand removed, and 0.3 Å of noise on every atom. A side chain counts as repaired when its
atoms beyond Cβ are within 0.7 Å rms of where they were, a peptide when its oxygen is within 1 Å, a removed water when
one is within 0.7 Å of its place, a misplaced one when none is left there, a loop when its main chain is within 1 Å rms,
a ligand when its atoms are within 1 Å rms of atoms of a ligand. Found: a move was tried there. Wrong changes: side
chains, peptides and well-determined waters that
were right and are not any more; amides and imidazoles turned over are counted apart, since density does not tell which
way round they were.
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

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms, without_hydrogens
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.core.events import ignore
from burnish.io.models import atoms_of, read_model
from burnish.options.rebuild import RebuildOptions
from burnish.rebuild.conformations import BACKBONE, chi_of, with_chi, with_peptide_turned
from burnish.validate.density_fit import residue_fits
from burnish.validate.flips import SWAPS
from burnish.validate.rotamers import validate_rotamers
from burnish.workflows.model_rounds import make_scene, make_term, read_start

SHARE = {"rotamers": 0.10, "cut": 0.05, "peptides": 0.05, "waters removed": 0.3, "waters misplaced": 0.1}
RESIDUES_A_LOOP = 80  # one loop is removed for so many residues
LOOP = 6
NOISE = 0.3  # Å rms of each atom's displacement
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


def fits_of(model: Path, options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Correlation and density, σ, of each residue of the undamaged model, by its label."""
    columns = {"labels": options.labels} if options.labels else {}
    asked = RebuildOptions(model=model, data=options.data, out=options.folder, ligand=tuple(options.ligand), **columns)
    start = read_start(asked, ignore, cycles=0)
    scene = make_scene(start, without_hydrogens(start.inputs.topology.structure), make_term(start, ignore))
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
    fits: dict[str, tuple[float, float]] | None = None,
) -> Damage:
    """Plant the errors.

    Parameters
    ----------
    structure : without hydrogens.
    seed : of all that is random.
    ligands : one of these components is removed.
    fits : of `fits_of`; without them B alone says what is well determined.
    """
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
    near_loops = {k for stretch in loops for k in range(stretch[0] - 2, stretch[-1] + 3)}
    sides = [
        i
        for i in proteins
        if i in good
        and i not in near_loops
        and views[i].name not in ("PRO", "ALA", "GLY", "CYS")
        and b_iso[list(views[i].atoms.values())].max() < FIT_B * b_iso.mean()
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
    waters = [(i, v.atoms["O"]) for i, v in enumerate(views) if v.kind == "water" and "O" in v.atoms]
    well = [a for i, a in waters if b_iso[a] < 1.5 * b_iso.mean() and i in seen]
    gone = rng.choice(well, round(SHARE["waters removed"] * len(well)), replace=False) if well else []
    misplaced = spots_without_water(xyz, rng, round(SHARE["waters misplaced"] * len(waters)))
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
    )


def spots_without_water(xyz: np.ndarray, rng: np.random.Generator, number: int) -> list[list[float]]:
    """Places 3 to 4 Å from some atom and at least 2.9 Å from every other."""
    found: list[list[float]] = []
    while len(found) < number:
        direction = rng.normal(size=3)
        spot = xyz[rng.integers(len(xyz))] + rng.uniform(3.0, 4.0) * direction / np.linalg.norm(direction)
        if np.linalg.norm(xyz - spot, axis=1).min() > 2.9:
            found.append(spot.tolist())
    return found


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
    away = np.linalg.norm(np.array(places)[:, None] - atoms[None], axis=2).min(axis=1)
    return float(np.sqrt((away**2).mean()))


def count(
    truth: gemmi.Structure, done: Damage, repaired: gemmi.Structure, tried: Sequence[str] = ()
) -> dict[str, dict[str, int | str]]:
    """Planted, found and repaired by kind, and what was right and is not any more.

    Parameters
    ----------
    truth : before the damage.
    done : the damage.
    repaired : to be judged.
    tried : residues that moves were weighed at, as in `moves.jsonl`.
    """
    was, now = residues_of(truth), residues_of(repaired)
    text = " | ".join(tried)
    waters = oxygens_of(repaired)
    lost = {k for labels in done.loops for k in labels}

    def near(spot: Sequence[float], reach: float) -> bool:
        return len(waters) > 0 and bool(np.linalg.norm(waters - np.array(spot), axis=1).min() < reach)

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
    table["changed wrongly"] = _wrong_changes(truth, done, now, sides, waters, lost)
    return table


def _wrong_changes(
    truth: gemmi.Structure,
    done: Damage,
    now: dict[str, dict[str, np.ndarray]],
    sides: dict[str, float],
    waters: np.ndarray,
    lost: set[str],
) -> dict[str, int | str]:
    was = residues_of(truth)
    damaged = {*done.rotamers, *done.cut, *lost}
    right = {k: r for k, r in sides.items() if k not in damaged and k.split()[-1] != "HOH"}
    moved = [k for k, r in right.items() if r > 1.5]
    amides = [k for k in moved if side_rms(was[k], now[k], k.split()[-1], amides=True) < 1.0]
    wrong = [k for k in moved if k not in amides]
    oxygens = [k for k in was if "O" in was[k] and "CA" in was[k] and k in now and k not in {*done.peptides, *lost}]
    over = [k for k in oxygens if np.linalg.norm(was[k]["O"] - now[k].get("O", np.full(3, 99.0))) > 1.8]
    atoms = atoms_of(truth)
    gone_before = np.array(done.removed).reshape(-1, 3)
    dropped, kept = [], 0
    for index, site in enumerate(truth[0].all()):
        spot = atoms.xyz[index].numpy()
        name = f"{site.chain.name} {site.residue.seqid}"
        clear = (
            site.residue.is_water()
            and name not in done.faint
            and float(atoms.b_iso[index]) < 1.5 * float(atoms.b_iso.mean())
        )
        if clear and not (len(gone_before) and np.linalg.norm(gone_before - spot, axis=1).min() < 0.01):
            kept += 1
            if len(waters) == 0 or np.linalg.norm(waters - spot, axis=1).min() > 1.0:
                dropped.append(f"water {site.residue.seqid}")
    names = ", ".join([*wrong, *(f"{k} O" for k in over), *dropped])
    return {
        "planted": len(right) + len(oxygens) + kept,
        "found": len(amides),
        "repaired": len(wrong) + len(over) + len(dropped),
        "names": names,
        "amides": ", ".join(amides),
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
            elif kind == "changed wrongly":
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
    options = parser.parse_args()
    if options.table:
        print(as_table(options.table))
        return
    truth = without_hydrogens(read_model(options.model).structure)
    done = damage(truth, options.seed, options.remove, fits_of(options.model, options))
    options.folder.mkdir(parents=True, exist_ok=True)
    before = count(truth, done, done.structure)
    summary = repair(truth, options, done)
    lines = (options.folder / "cycle" / "moves.jsonl").read_text().splitlines()
    tried = [json.loads(line)["residue"] for line in lines]
    after = count(truth, done, read_model(options.folder / "cycle" / "refined.cif").structure, tried)
    result = {"before": before, "after": after, "summary": summary}
    (options.folder / "result.json").write_text(json.dumps(result, indent=1, default=str))
    print(as_table([options.folder]))
    print(after["changed wrongly"])


if __name__ == "__main__":
    main()
