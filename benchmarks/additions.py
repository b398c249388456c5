"""What moves add beside the chains: taken out of deposited models, refined without it, and looked for again.

    python benchmarks/additions.py SHARED/data/mx [CASE …] [--work FOLDER]

Each case removes ligands, ions, second conformers or sugars from a deposited model, refines what is left against the
measured data, lets the move look for what is missing, and compares with the deposited model: how many there are, how
many were placed within 1 Å rms, how far off, how well both fit the same density, and how many were placed where the
deposited model has none. Atoms of a ligand are matched by the bonds of both, so that a ring turned over is the same
and an atom in the place of another is not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import torch

from burnish.chemistry.edit_model import without_atoms, without_hydrogens
from burnish.core.events import ignore
from burnish.options.rebuild import RebuildOptions
from burnish.rebuild.additions import add_ligand, new_atoms, surrounding_b
from burnish.rebuild.conformer_moves import add_conformers
from burnish.rebuild.moves.ions import place_ions
from burnish.rebuild.moves.ligands import displaced_waters, judge_fit, unexplained
from burnish.rebuild.moves.sugars import sugar_ranks
from burnish.rebuild.scene import Change, Scene, StructureMove
from burnish.rebuild.sugar_moves import add_sugars
from burnish.workflows.model_rounds import Start, apply_structure_moves, make_scene, make_term, read_start

SUGARS = ("NAG", "BMA", "MAN")
NEAR = 1.0  # Å rms; placed


@dataclass(frozen=True)
class Case:
    """What is removed from a model, what looks for it how often, and the refinement before.

    `ligand` is what `--ligand` is given, `known` what the deposited model calls it where that is another name.
    """

    model: str
    gone: tuple[str, ...]
    move: StructureMove
    cycles: int = 6
    single: bool = False
    ligand: str = ""
    known: str = ""
    file: str = ""
    copies: int = 1

    @property
    def sought(self) -> str:
        """The component in the deposited model."""
        return self.known or self.ligand


def ligand_move(name: str) -> StructureMove:
    return lambda scene: add_ligand(scene, name)


def ligand(model: str, gone: str, name: str, **more: Any) -> Case:
    """A ligand looked for in a model without it."""
    return Case(model, tuple(gone.split()), ligand_move(name.split("=")[0]), ligand=name, **more)


BESIDE = "NOJ MRD MPD"  # of 4iid, beside its sugars
NUTLIN = "CC(C)Oc1cc(OC)ccc1C1=N[C@@H](c2ccc(Cl)cc2)[C@@H](c2ccc(Cl)cc2)N1C(=O)N1CCNC(=O)C1"  # PubChem, nutlin-3a


CASES = {
    "NUT": ligand("4hg7", "NUT SO4", "NUT", file="4hg7/NUT.cif"),
    "NUT by its code": ligand("4hg7", "NUT SO4", "NUT"),
    "NUT from SMILES": ligand("4hg7", "NUT SO4", f"DRG={NUTLIN}", known="NUT"),
    "SO4": ligand("4hg7", "NUT SO4", "SO4", file="4hg7/NUT.cif"),
    "PEG": ligand("3zt9", "PEG", "PEG"),
    "SF4": ligand("1dur", "SF4", "SF4", copies=2),
    "NOJ": ligand("4iid", BESIDE, "NOJ", cycles=3, copies=2),
    "MRD": ligand("4iid", BESIDE, "MRD", cycles=3, copies=3),
    "MPD": ligand("4iid", BESIDE, "MPD", cycles=3),
    "no NUT in 3zt9": ligand("3zt9", "", "NUT", cycles=0, file="4hg7/NUT.cif"),
    "no NUT in 4hg7 with it": ligand("4hg7", "", "DRG=" + NUTLIN, cycles=0, file="4hg7/NUT.cif", known="none"),
    "BTN for NUT": ligand("4hg7", "NUT SO4", "BTN", known="none", file="4hg7/NUT.cif"),
    "ATP for NUT": ligand("4hg7", "NUT SO4", "ATP", known="none", file="4hg7/NUT.cif"),
    "no BTN in rnase": ligand("rnase_tutorial", "", "BTN", cycles=0),
    "no MPD in 3zt9": ligand("3zt9", "", "MPD", cycles=0),
    "no GOL in 4hg7": ligand("4hg7", "", "GOL", cycles=0, file="4hg7/NUT.cif"),
    "no ATP in 1l2h": ligand("1l2h_twin", "", "ATP", cycles=0),
    "ions 3zt9": Case("3zt9", ("MN", "PEG"), place_ions),
    "ions 4hg7": Case("4hg7", (), place_ions, cycles=0, file="4hg7/NUT.cif"),
    "ions 1g8a": Case("1g8a", (), place_ions, cycles=0),
    "conformers 4hg7": Case("4hg7", (), add_conformers, single=True, file="4hg7/NUT.cif"),
    "conformers 3zt9": Case("3zt9", (), add_conformers, single=True),
    "sugars 4iid": Case("4iid", (*SUGARS, *BESIDE.split()), add_sugars, cycles=4),
}


def stripped(structure: gemmi.Structure, case: Case) -> gemmi.Structure:
    """The model without what is looked for."""
    sites = list(structure[0].all())
    gone = {k for k, c in enumerate(sites) if c.residue.name in case.gone}
    if case.single:
        gone |= {k for k, c in enumerate(sites) if c.atom.altloc not in ("\0", "A")}
    left = without_atoms(structure, gone)
    if case.single:
        for site in left[0].all():
            if site.atom.altloc == "A":
                site.atom.altloc, site.atom.occ = "\0", 1.0
    there = [c for c in left.connections if all(left[0].find_cra(p, True).atom for p in (c.partner1, c.partner2))]
    left.connections = gemmi.ConnectionList(there)
    return left


def prepared(case: Case, data: Path, work: Path) -> Path:
    """The stripped model, refined where the case asks for it; made once for all cases that strip alike."""
    name = "_".join((case.model, *case.gone, *(["single"] if case.single else []), str(case.cycles)))
    start, refined = work / f"{name}.cif", work / name / "refined.cif"
    if not start.exists():
        structure = gemmi.read_structure(str(data / case.model / "model.cif"))
        structure.setup_entities()
        stripped(structure, case).make_mmcif_document().write_file(str(start))
    if case.cycles == 0:
        return start
    if not refined.exists():
        command = [sys.executable, "-m", "burnish.cli.main", "refine", str(start), str(data / case.model / "data.mtz")]
        command += ["--out", str(work / name), "--cycles", str(case.cycles)]
        command += ["--ligand", str(data / case.file)] if case.file else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return refined


def start_of(case: Case, model: Path, data: Path, work: Path) -> Start:
    """The stripped model and its data, as `burnish rebuild` reads them."""
    asked = dict.fromkeys(x for x in (str(data / case.file) if case.file else "", case.ligand) if x)
    if case.file and case.ligand == Path(case.file).stem:  # the file is what is asked for
        del asked[case.ligand]
    options = RebuildOptions(
        model=model,
        data=data / case.model / "data.mtz",
        out=work / "none",
        ligand=tuple(asked),
        twin="twin" in case.model,
    )
    return read_start(options, ignore, cycles=0)


def deviation(cell: gemmi.UnitCell, found: list[gemmi.Atom], truth: list[gemmi.Atom]) -> float:
    """Rms over nearest images, Å, of the best of the ways in which the bonds of both can be laid over each other."""
    one, two = _graph(found), _graph(truth)
    ways = one.GetSubstructMatches(two, uniquify=False, maxMatches=5000)
    away = np.array([[cell.find_nearest_image(a.pos, b.pos, gemmi.Asu.Any).dist() ** 2 for b in truth] for a in found])
    values = [away[list(way), range(len(truth))].mean() for way in ways]
    return float(np.sqrt(min(values, default=np.inf)))


def _graph(atoms: list[gemmi.Atom]) -> Any:
    """Elements and bonds of a residue, by distance."""
    from rdkit import Chem

    graph = Chem.RWMol()
    for atom in atoms:
        added = Chem.Atom(atom.element.atomic_number)
        added.SetNoImplicit(True)
        graph.AddAtom(added)
    for i, a in enumerate(atoms):
        for j, b in enumerate(atoms[:i]):
            if a.pos.dist(b.pos) < a.element.covalent_r + b.element.covalent_r + 0.25:
                graph.AddBond(i, j, Chem.BondType.SINGLE)
    return graph.GetMol()


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes
    ----------
    deposited : how many the deposited model has.
    away : deviations of those placed, Å.
    correlations : with the density left, of the deposited atoms and of those placed, pair by pair.
    elsewhere : placed where the deposited model has none.
    """

    deposited: int
    away: list[float]
    correlations: list[tuple[float, float]]
    elsewhere: int


def added_residues(change: Change) -> list[list[gemmi.Atom]]:
    """Atoms that a change has added, residue by residue."""
    added: dict[str, list[gemmi.Atom]] = {}
    names = {name for r in change.records if r.accepted for name in r.added}
    for c in change.structure[0].all():
        label = f"{c.chain.name} {c.residue.seqid} {c.residue.name}"
        letter = f" {c.atom.altloc}" if c.atom.altloc != "\0" else ""
        if f"{label} {c.atom.name}{letter}" in names and c.atom.altloc != "A":
            added.setdefault(label, []).append(c.atom)
    return list(added.values())


def deposited_residues(case: Case, deposited: gemmi.Structure) -> list[list[gemmi.Atom]]:
    """What a case looks for, as it is in the deposited model."""
    truth: list[list[gemmi.Atom]] = []
    for chain in deposited[0]:
        for residue in chain:
            heavy = [a for a in residue if not a.is_hydrogen()]
            if case.single:
                other = [a for a in heavy if a.altloc not in ("\0", "A")]
                first = [a for a in heavy if a.altloc == "A"]
                truth += [group for group in (other + first,) if other and not residue.is_water()]
            elif residue.name in case.gone and (not case.ligand or residue.name == case.sought):
                truth.append(heavy)
    if "MN" in case.gone:
        truth = [t for t in truth if t[0].element.name == "Mn"]
    if SUGARS[0] in case.gone:
        truth = core_sugars(deposited)
    return truth


def core_sugars(deposited: gemmi.Structure) -> list[list[gemmi.Atom]]:
    """The two GlcNAc and three mannoses of each N-glycan, and fucoses on the first, without O1."""
    ranks = sugar_ranks(deposited)
    residues = {f"{c.name} {r.seqid} {r.name}": r for c in deposited[0] for r in c if r.name in (*SUGARS, "FUC")}
    ends = {3: ("O3", "O6"), 1: ("O3", "O6")}
    carriers = [a for label, rank in ranks.items() for a in residues[label] if a.name in ends.get(rank, ())]
    for label, residue in residues.items():
        at = next((a for a in residue if a.name == "C1"), None)
        if label not in ranks and at is not None and any(at.pos.dist(a.pos) < 1.8 for a in carriers):
            ranks[label] = 4
    return [[a for a in residues[label] if a.name != "O1" and not a.is_hydrogen()] for label in ranks]


def compared(case: Case, change: Change, deposited: gemmi.Structure, scene: Scene) -> Outcome:
    """Lay what was added over what the deposited model has."""
    truth = deposited_residues(case, deposited)
    away, fits, elsewhere = [], [], 0
    for atoms in added_residues(change):
        if case.single:
            same = [[b for b in t if any(b.name == a.name for a in atoms)] for t in truth]
            values = [_nearest_conformer(deposited.cell, atoms, t) for t in same if len(t) >= len(atoms)]
        else:
            values = [deviation(deposited.cell, atoms, t) if len(t) == len(atoms) else np.inf for t in truth]
        value = min(values, default=np.inf)
        if value < NEAR:
            away.append(value)
            if case.ligand:
                fits.append((fit_of(scene, truth[int(np.argmin(values))]), fit_of(scene, atoms)))
        else:
            elsewhere += 1
    return Outcome(len(truth), away, fits, elsewhere)


def fit_of(scene: Scene, atoms: list[gemmi.Atom]) -> float:
    """Correlation of some atoms with the density that the stripped model leaves for them, waters out of their way."""
    xyz = np.array([a.pos.tolist() for a in atoms])
    elements = [a.element.name for a in atoms]
    b_iso = surrounding_b(scene.evidence.atoms, xyz)
    gone = displaced_waters(xyz, unexplained(scene.evidence, scene.views), scene.evidence.atoms, scene.crystal)
    return judge_fit(scene.evidence, new_atoms(elements, xyz, b_iso), gone).correlation


def _nearest_conformer(cell: gemmi.UnitCell, atoms: list[gemmi.Atom], truth: list[gemmi.Atom]) -> float:
    """Smallest deviation from one of the deposited conformers, atom by atom."""
    values = []
    for letter in {b.altloc for b in truth}:
        own = {b.name: b for b in truth if b.altloc == letter}
        pairs = [(a, own[a.name]) for a in atoms if a.name in own]
        if pairs:
            square = [cell.find_nearest_image(a.pos, b.pos, gemmi.Asu.Any).dist() ** 2 for a, b in pairs]
            values.append(float(np.sqrt(np.mean(square))))
    return min(values, default=np.inf)


def run_case(name: str, case: Case, data: Path, work: Path) -> None:
    """Run one case and print its row."""
    start = start_of(case, prepared(case, data, work), data, work)
    term, bare = make_term(start, ignore), without_hydrogens(start.inputs.topology.structure)
    began = time.process_time()
    structure, records = apply_structure_moves([case.move] * case.copies, start, bare, term)
    spent = time.process_time() - began
    structure.make_mmcif_document().write_file(str(work / f"placed {name}.cif"))
    deposited = gemmi.read_structure(str(data / case.model / "model.cif"))
    outcome = compared(case, Change(structure=structure, records=records), deposited, make_scene(start, bare, term))
    refused = sum(not r.accepted for r in records)
    away = outcome.away
    rms = f"{np.median(away):.2f}, {max(away):.2f}" if away else "–"
    fits = ", ".join(f"{theirs:.2f} → {ours:.2f}" for theirs, ours in outcome.correlations) or "–"
    cells = (name, outcome.deposited, len(away), rms, fits, outcome.elsewhere, refused, f"{spent:.0f}")
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)
    for record in records:
        sys.stderr.write(f"{name}: {record.accepted} {record.residue}: {record.why} | {record.reason}\n")


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--work", type=Path, default=Path("additions"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    print(
        "| case | deposited | placed within 1 Å | rms, Å: median, largest | correlation: deposited → placed |", end=""
    )
    print(" elsewhere | refused | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in given.cases:
        run_case(name, CASES[name], given.data, given.work)


if __name__ == "__main__":
    main()
