"""Damage a model that cryo-EM maps show, let `burnish cycle` repair it, and count.

Usage: planted_errors_em.py TRUTH FOLDER --half1 MAP --half2 MAP --resolution D [--symmetry G] [--rounds N] [--seed N]
       planted_errors_em.py TRUTH FOLDER --map MAP --resolution D …       where there is one map alone

TRUTH is the model that made the maps, or the deposited one. Planted, all seeded: side chains in another rotamer,
peptides turned over, side chains cut at Cβ, and 0.3 Å of noise on every atom. What counts as repaired and as changed
wrongly is that of `planted_errors.py`. Beside it, before (the damaged model, refined: the cycle's round 0) and after:
FSC average, its value with the half map that the refinement has not seen, Ramachandran, rotamers, clashes; the Q-scores
of truth, damaged and final model; their rms distance from the truth.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.chemistry.edit_model import with_positions, without_atoms, without_hydrogens
from burnish.chemistry.residues import residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.io.models import atoms_of, read_model
from burnish.io.mrc import read_map
from burnish.rebuild.conformations import BACKBONE, chi_of, with_chi, with_peptide_turned
from burnish.validate.q_score import q_scores
from burnish.validate.rotamers import validate_rotamers
from measure import run
from planted_errors import NOISE, Damage, count, graph_of, residues_of, side_rms, write_sequence

SHARE = {"rotamers": 0.08, "cut": 0.02, "peptides": 0.03}
UNDAMAGED = ("PRO", "ALA", "GLY", "CYS")


def damage(structure: gemmi.Structure, seed: int, kept: Sequence[str] = ()) -> Damage:
    """Plant the errors in a model without hydrogens; not in residues whose labels are `kept`."""
    rng = np.random.default_rng(seed)
    views, xyz = residue_views(structure[0]), atoms_of(structure).xyz.numpy().copy()
    truth, graph = xyz.copy(), graph_of(structure)
    favoured = {r.view for r in validate_rotamers(torch.from_numpy(xyz), views) if r.verdict == "favoured"}
    proteins = [
        i
        for i, v in enumerate(views)
        if v.kind == "protein" and not v.altloc and v.is_primary and f"{v.chain} {v.number} {v.name}" not in kept
    ]
    sides = [i for i in proteins if i in favoured and views[i].name not in UNDAMAGED]
    order = [int(i) for i in rng.permutation(sides)]
    n_turned, n_cut = (round(SHARE[kind] * len(sides)) for kind in ("rotamers", "cut"))
    cut = order[:n_cut]
    turned: list[int] = []
    for i in order[n_cut:]:
        if len(turned) == n_turned:
            break
        now = np.array(chi_of(xyz, views[i]))
        others = [r for r in rotamers_of(views[i].name) if r.frequency > 0.03 and _apart(r.chi, now)]
        if not others:
            continue
        moved = with_chi(xyz, views[i], graph, others[rng.integers(len(others))].chi)
        was, place = ({n: x[a] for n, a in views[i].atoms.items()} for x in (truth, moved))
        if side_rms(was, place, views[i].name) > 1.2:
            xyz = moved
            turned.append(i)
    peptides: list[str] = []
    for i in rng.permutation(proteins):
        if len(peptides) == round(SHARE["peptides"] * len(proteins)):
            break
        over = with_peptide_turned(xyz, views, int(i), math.pi)
        if over is not None and not {int(i), views[i].next} & {*turned, *cut}:
            xyz = over
            peptides.append(views[i].label)
    noisy = xyz + rng.normal(0.0, NOISE / math.sqrt(3.0), xyz.shape)
    beyond = {a for i in cut for n, a in views[i].atoms.items() if n not in BACKBONE and n != "CB"}
    return Damage(
        structure=without_atoms(with_positions(structure, noisy), beyond),
        rotamers=[views[i].label for i in turned],
        cut=[views[i].label for i in cut],
        peptides=peptides,
    )


def _apart(chi: Sequence[float], now: np.ndarray) -> bool:
    return bool(np.abs(np.angle(np.exp(1j * (np.array(chi) - now)))).max() > math.radians(60))


def rms_from(truth: gemmi.Structure, model: gemmi.Structure) -> float:
    """Rms distance of the atoms that both have, Å."""
    was, now = residues_of(truth), residues_of(model)
    pairs = [(was[k][n], now[k][n]) for k in was if k in now for n in was[k] if n in now[k]]
    return math.sqrt(float(np.mean([((a - b) ** 2).sum() for a, b in pairs])))


def mean_q(model: gemmi.Structure, maps: Sequence[Path]) -> float:
    """Mean Q-score of the atoms in the mean of the maps."""
    read = [read_map(path) for path in maps]
    values = torch.stack([m.values for m in read]).mean(dim=0)
    return float(q_scores(replace(read[0], values=values), atoms_of(without_hydrogens(model)).xyz).nanmean())


def main() -> None:
    """Damage, repair, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half1", type=Path)
    parser.add_argument("--half2", type=Path)
    parser.add_argument("--map", type=Path)
    parser.add_argument("--density", type=Path, help="map of the Q-scores, if other than the mean of the halves")
    parser.add_argument("--resolution", type=float, required=True)
    parser.add_argument("--symmetry")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    truth = without_hydrogens(read_model(options.truth).structure)
    done = damage(truth, options.seed)
    damaged, cycle = folder / "damaged.cif", folder / "cycle"
    done.structure.make_mmcif_document().write_file(str(damaged))
    maps = (
        ["--map", str(options.map)] if options.map else ["--half1", str(options.half1), "--half2", str(options.half2)]
    )
    command = [sys.executable, "-m", "burnish.cli.main", "cycle", str(damaged), *maps, "--out", str(cycle)]
    command += ["--resolution", str(options.resolution), "--rounds", str(options.rounds)]
    command += ["--symmetry", options.symmetry] if options.symmetry else []
    if write_sequence(truth, folder / "sequence.fasta"):
        command += ["--sequence", str(folder / "sequence.fasta")]
    cost = run(command, Path.cwd())
    tried = [json.loads(line)["residue"] for line in (cycle / "moves.jsonl").read_text().splitlines()]
    final = read_model(cycle / "refined.cif").structure
    table = {"before": count(truth, done, done.structure), "after": count(truth, done, final, tried)}
    rounds = json.loads((cycle / "rounds.json").read_text())
    shown = [options.density] if options.density else [options.map] if options.map else [options.half1, options.half2]
    stages = {"truth": truth, "damaged": done.structure}
    stages |= {"refined": read_model(cycle / "round_00" / "refined.cif").structure, "final": final}
    distances = {name: round(rms_from(truth, model), 3) for name, model in stages.items()}
    scores = {name: round(mean_q(model, shown), 4) for name, model in stages.items()}
    first, best = rounds[0], next(r for r in rounds if r["best"])
    summary = {"rounds": rounds, "cpu_s": round(cost.cpu), "mib": round(cost.memory), "rms": distances, "q": scores}
    (folder / "result.json").write_text(json.dumps({**table, "summary": summary}, indent=1, default=str))
    print(json.dumps(table["after"], indent=1, default=str))
    print(f"rms from the truth, Å: {distances}\nQ-score: {scores}\nbefore {first}\nafter  {best}")
    print(f"{cost.cpu:.0f} CPU s, {cost.memory:.0f} MiB")


if __name__ == "__main__":
    main()
