"""A model changed by hand: commands in, edits out, every one of them in the journal before it is answered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.checks import check_atoms
from burnish.chemistry.edit_model import with_positions
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.rotamers import rotamer_name
from burnish.core.errors import InputError
from burnish.core.events import Listener, Message
from burnish.data.reflections import Crystal
from burnish.data.sampled_map import SampledMap, box_map, cell_map
from burnish.io.atomic import write_text
from burnish.io.map_coefficients import is_of_a_box, read_coefficient_map
from burnish.io.model_writer import write_changed_cif
from burnish.io.models import ModelFile, atoms_of, read_model
from burnish.io.mrc import read_map
from burnish.jobs.folder import Job
from burnish.maps.sampling import sample
from burnish.options.edit import EditOptions, HandCommand
from burnish.rebuild.atom_rows import difference
from burnish.rebuild.by_hand import conformation_tools as conformations
from burnish.rebuild.by_hand import growth_tools as growth
from burnish.rebuild.by_hand.gap_tool import build_gap
from burnish.rebuild.by_hand.loop_tool import rebuild_loop
from burnish.rebuild.by_hand.model import HandModel, make_hand_model, make_target, refined, zone_atoms
from burnish.rebuild.conformations import chi_of
from burnish.rebuild.move import MoveRecord
from burnish.reports.moves import moves_page
from burnish.reports.page import render
from burnish.validate.ramachandran import validate_ramachandran
from burnish.validate.rotamers import validate_rotamers
from burnish.workflows.hand_journal import Edit, Journal, changes, patched, residue_rows
from burnish.workflows.model_rounds import move_lines, write_moves

Array = NDArray[np.float64]

AMINO_ACIDS = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "MSE", "PHE", "PRO",
    "SER", "THR", "TRP", "TYR", "VAL",
)  # fmt: skip
SAMPLING = 3.5  # grid points per d_min
NEW_STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a session starts from: the file as read, and its structure without hydrogens."""

    file: ModelFile
    structure: gemmi.Structure
    density: SampledMap
    crystal: Crystal | None
    library: Library


def open_inputs(options: EditOptions, listener: Listener) -> Opened:
    """Read the model, its dictionaries and the map."""
    model = read_model(options.model)
    for message in model.messages:
        listener(message)
    structure = model.structure.clone()
    structure.remove_hydrogens()
    needed = sorted({r.name for chain in structure[0] for r in chain} | set(AMINO_ACIDS) | {"HOH"})
    library = read_library(needed, ligands=options.ligand, monomers=options.monomers)
    check_atoms(options.model, structure, library.monlib)
    for text in library.messages:
        listener(Message(text, "warning"))
    density = read_density(options.map_file)
    if model.crystal is None and density.periodic and not is_of_a_box(options.map_file):
        raise InputError(f"{options.model}: has no cell, but {options.map_file.name} is of a crystal; add the cell")
    crystal = model.crystal if density.periodic else None
    return Opened(file=model, structure=structure, density=density, crystal=crystal, library=library)


def read_density(path: Path) -> SampledMap:
    """The density of map coefficients over the cell, or of a map file over its box."""
    if path.suffix.lower() != ".mtz":
        return box_map(read_map(path))
    values, cell = read_coefficient_map(path, "density", SAMPLING)
    return cell_map(torch.from_numpy(values), np.array(cell.frac.mat.tolist()))


class HandSession:
    """The state of one model under a person's hands."""

    def __init__(self, options: EditOptions, opened: Opened, journal: Journal) -> None:
        self._options = options
        self._crystal = opened.crystal
        self._library = opened.library
        self._file, self._start = opened.file, opened.structure
        self._density = opened.density
        self._target = make_target(opened.density)
        self._journal = journal
        self._done, self._undone = journal.read()
        structure = opened.structure
        for edit in self._done:
            structure = patched(structure, edit.after)
        self.model: HandModel = self._made(structure)
        self._drag: tuple[tuple[str, str, str], conformations.Moved] | None = None

    @property
    def edits(self) -> list[Edit]:
        """Edits that stand."""
        return self._done

    @property
    def undone(self) -> int:
        """How many edits could be done again."""
        return len(self._undone)

    def use_map(self, path: Path) -> None:
        """Go on in another map, as one that was computed from the model as it is now."""
        self._density = read_density(path)
        self._target = make_target(self._density)
        self.model = replace(self.model, target=self._target)
        self._drag = None

    def apply(self, command: HandCommand) -> dict[str, Any]:
        """Do one thing and say what came of it; a preview where the command is not to be kept.

        Raises
        ------
        InputError : it cannot be done here.
        """
        if command.tool == "undo":
            return self._step_back()
        if command.tool == "redo":
            return self._step_forward()
        if command.tool == "cancel":
            self._drag = None
            return self._reply("let go")
        if command.tool == "look":
            return self._reply("", self._view(command))
        result = self._run(command)
        if not command.commit and isinstance(result, conformations.Moved):
            return {"preview": self._preview(result), "note": result.note, "density": list(result.density)}
        self._drag = None
        return self._keep(command, result)

    def _run(self, command: HandCommand) -> conformations.Moved | growth.Grown:
        model = self.model
        if command.tool == "add water":
            return growth.add_water(model, _place(command))
        if command.tool == "fit ligand":
            self._learn(command.name)
            return growth.fit_ligand_here(self.model, command.name, _place(command))
        view = self._view(command)
        match command.tool:
            case "refine":
                return conformations.refine_about(model, view, command.extent)
            case "flip":
                return conformations.flip_peptide(model, view)
            case "next rotamer":
                return conformations.next_rotamer(model, view)
            case "best rotamer":
                return conformations.best_rotamer(model, view)
            case "chi":
                return conformations.turn_side_chain(model, view, command.chi_deg, refine=command.commit)
            case "drag":
                return self._dragged(command, view)
            case "move":
                return conformations.move_rigidly(model, view, command.extent, command.shift, command.turn_deg)
            case "fit rigid body":
                return conformations.fit_rigidly(model, view, command.extent)
            case "rebuild loop":
                return rebuild_loop(model, view, command.size)
            case "build gap":
                return build_gap(model, view, self._density, atoms_of(model.structure))
            case "mutate":
                return growth.mutate(model, view, command.name)
            case "add terminal residue":
                return growth.add_terminal_residue(model, view, command.name or "ALA")
            case "delete":
                return growth.delete_atoms(model, view, command.what, command.atom)
        raise InputError(f"{command.tool}: no such tool")

    def _dragged(self, command: HandCommand, view: int) -> conformations.Moved:
        """Where a dragged atom and its neighbours have come to; letting go refines them without the hand."""
        key = (command.chain, command.number, command.atom)
        earlier = self._drag[1] if self._drag is not None and self._drag[0] == key else None
        start = earlier.xyz[earlier.atoms] if earlier is not None else None
        if not command.commit or earlier is None:
            moved, _ = conformations.drag_atom(self.model, view, command.atom, _place(command), start)
            self._drag = key, moved
            if not command.commit:
                return moved
            earlier = moved
        note = f"{command.atom} of {self.model.views[view].label} dragged"
        return conformations.settle(self.model, earlier.atoms, earlier.xyz[earlier.atoms], note)

    def _keep(self, command: HandCommand, result: conformations.Moved | growth.Grown) -> dict[str, Any]:
        before = residue_rows(self.model.structure)
        label = self._label(command)
        density: tuple[float, float] | None = None
        if isinstance(result, conformations.Moved):
            density = result.density
            model = replace(self.model, xyz=result.xyz, structure=with_positions(self.model.structure, result.xyz))
        else:
            model = self._after_growth(command, result)
        was, now = changes(before, residue_rows(model.structure))
        if not was and not now:
            return self._reply("nothing changed")
        number = 1 + max((e.number for e in (*self._done, *self._undone)), default=0)
        place = result.place if isinstance(result, growth.Grown) and result.place is not None else None
        edit = Edit(
            number=number,
            command=command.model_dump(exclude_defaults=True),
            label=label or (" ".join(place) if place else ""),
            note=result.note,
            density=density,
            before=was,
            after=now,
        )
        self._journal.add(edit)
        self.model = model
        self._done.append(edit)
        self._undone = []
        shown = place or ((command.chain, command.number) if command.chain else None)
        return self._reply(result.note, self._found(shown), density)

    def _after_growth(self, command: HandCommand, result: growth.Grown) -> HandModel:
        """The model with its atoms added or removed, and what is new refined where it stands."""
        model = self._made(result.structure)
        if result.place is None:
            return model
        if command.tool == "build gap":
            model = self._with_side_chains(model)
        view = model.find(*result.place)
        if command.tool == "mutate" and chi_of(model.xyz, model.views[view]) is not None:
            xyz = conformations.best_rotamer(model, view).xyz
        else:
            extent = "zone" if command.tool == "build gap" else "residue"
            xyz, _ = refined(model, zone_atoms(model, view, extent), steps=NEW_STEPS)
        return replace(model, xyz=xyz, structure=with_positions(model.structure, xyz))

    def _with_side_chains(self, model: HandModel) -> HandModel:
        """The residues that are new, which have a main chain only, completed in their best rotamers."""
        before = {(v.chain, v.number) for v in self.model.views}
        for place in [(v.chain, v.number) for v in model.views if (v.chain, v.number) not in before]:
            view = model.find(*place)
            if model.views[view].name not in ("ALA", "GLY"):
                model = self._made(growth.mutate(model, view, model.views[view].name).structure)
                view = model.find(*place)
                if chi_of(model.xyz, model.views[view]) is not None:
                    xyz = conformations.best_rotamer(model, view).xyz
                    model = replace(model, xyz=xyz, structure=with_positions(model.structure, xyz))
        return model

    def _step_back(self) -> dict[str, Any]:
        if not self._done:
            raise InputError("nothing to undo")
        edit = self._done[-1]
        self._journal.mark("undo")
        self.model = self._made(patched(self.model.structure, edit.before))
        self._undone.append(self._done.pop())
        return self._reply(f"undone: {edit.note}", self._found_of(edit))

    def _step_forward(self) -> dict[str, Any]:
        if not self._undone:
            raise InputError("nothing to redo")
        edit = self._undone[-1]
        self._journal.mark("redo")
        self.model = self._made(patched(self.model.structure, edit.after))
        self._done.append(self._undone.pop())
        return self._reply(f"redone: {edit.note}", self._found_of(edit))

    def _made(self, structure: gemmi.Structure) -> HandModel:
        return make_hand_model(structure, self._library.monlib, self._target, self._crystal)

    def _learn(self, name: str) -> None:
        """Read the dictionary of a component that the model did not have."""
        if name in self._library.monlib.monomers:
            return
        if not name.isalnum():
            raise InputError(f"{name!r}: expected the code of a component")
        present = {r.name for chain in self.model.structure[0] for r in chain}
        needed = sorted(present | set(AMINO_ACIDS) | {"HOH", name})
        self._library = read_library(needed, ligands=self._options.ligand, monomers=self._options.monomers)
        self.model = replace(self.model, monlib=self._library.monlib)

    def _view(self, command: HandCommand) -> int:
        if not command.number:
            raise InputError("choose a residue first")
        return self.model.find(command.chain, command.number, command.altloc)

    def _found(self, place: tuple[str, str] | None) -> int | None:
        try:
            return self.model.find(*place) if place else None
        except InputError:  # it was deleted
            return None

    def _found_of(self, edit: Edit) -> int | None:
        asked = (edit.command.get("chain", ""), edit.command.get("number", ""))
        if asked[1] and (view := self._found(asked)) is not None:
            return view
        keys = [k.split("|") for k, record in {**edit.before, **edit.after}.items() if record is not None]
        return next((v for k in keys if (v := self._found((k[0], k[1]))) is not None), None)

    def _label(self, command: HandCommand) -> str:
        view = self._found((command.chain, command.number)) if command.number else None
        return self.model.views[view].label if view is not None else ""

    def _reply(self, note: str, view: int | None = None, density: tuple[float, float] | None = None) -> dict[str, Any]:
        return {
            "note": note,
            "version": len(self._done),
            "undo": len(self._done),
            "redo": len(self._undone),
            "density": None if density is None else [round(d, 2) for d in density],
            "residue": None if view is None else self._about(view),
        }

    def _about(self, view: int) -> dict[str, Any]:
        """What is known of a residue now."""
        model, own = self.model, self.model.views[view]
        positions = torch.from_numpy(model.xyz)
        atoms = positions[list(own.atoms.values())]
        chi = chi_of(model.xyz, own)
        backbone = {r.view: r for r in validate_ramachandran(positions, model.views)}
        rotamer = next(iter(validate_rotamers(positions, [own])), None)
        return {
            "chain": own.chain,
            "number": own.number,
            "name": own.name,
            "xyz": [round(float(v), 3) for v in atoms.mean(0)],
            "density": round(float(sample(model.target.spline, atoms).mean()) / model.target.sigma, 2),
            "chi_deg": conformations.present_chi_deg(model, view),
            "rotamer": rotamer_name(own.name, torch.tensor(chi, dtype=torch.float64)) if chi else "",
            "rotamer_verdict": rotamer.verdict if rotamer else "",
            "ramachandran": backbone[view].verdict if view in backbone else "",
            "is_end": own.kind == "protein" and (own.next < 0 or own.previous < 0),
        }

    def _preview(self, moved: conformations.Moved) -> str:
        """The moving atoms as a small PDB file, bonds left to the reader."""
        names = list(self.model.structure[0].all())
        lines = []
        for serial, a in enumerate(moved.atoms.tolist(), start=1):
            atom, residue = names[a].atom, names[a].residue
            padded = f" {atom.name:<3s}" if len(atom.name) < 4 and len(atom.element.name) == 1 else f"{atom.name:<4s}"
            x, y, z = moved.xyz[a]
            lines.append(
                f"ATOM  {serial:5d} {padded} {residue.name[:3]:>3s} A{(residue.seqid.num or 0) % 10000:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}{1.0:6.2f}{20.0:6.2f}          {atom.element.name:>2s}"
            )
        return "\n".join([*lines, "END", ""])

    def model_text(self) -> str:
        """The model as mmCIF."""
        return str(self.model.structure.make_mmcif_document().as_string())

    def records(self) -> list[MoveRecord]:
        """The edits that stand as records of moves, which `burnish undo` takes back."""
        records = []
        structure = self._start
        for edit in self._done:
            later = patched(structure, edit.after)
            added, removed = difference(structure, later)
            gone = {row.name for row in removed}
            records.append(
                MoveRecord(
                    kind=f"by hand: {edit.command['tool']}",
                    residue=edit.label,
                    why="by hand",
                    accepted=True,
                    reason=edit.note + _density_text(edit.density),
                    before=None,
                    after=None,
                    undo=tuple(m for m in _moved_atoms(edit) if m[0] not in gone),
                    added=added,
                    removed=removed,
                )
            )
            structure = later
        return records

    def write(self, job: Job) -> dict[str, Any]:
        """Write the model and the moves as they stand."""
        write_changed_cif(job.path("rebuilt.cif"), self._file, self.model.structure)
        lines = move_lines(self.records(), 1)
        write_moves(job.path("moves.jsonl"), lines)
        write_text(job.path("moves.html"), render(moves_page(lines, [], self._options.model.name)))
        return {"edits": len(self._done), "model": str(job.path("rebuilt.cif")), "report": str(job.path("moves.html"))}


def _place(command: HandCommand) -> tuple[float, float, float]:
    if command.xyz is None:
        raise InputError(f"{command.tool}: where? Give xyz")
    return command.xyz


def _density_text(density: tuple[float, float] | None) -> str:
    return "" if density is None else f"; density {density[0]:.1f} → {density[1]:.1f} σ"


def _moved_atoms(edit: Edit) -> list[tuple[str, tuple[float, float, float]]]:
    """Former positions of the atoms that an edit moved, by name."""
    found = []
    for key, record in edit.before.items():
        after = edit.after.get(key)
        if record is None or after is None:
            continue
        chain, number, name = key.split("|")
        now = {(a[0], a[1]): a[4:7] for a in after["atoms"]}
        for atom in record["atoms"]:
            if now.get((atom[0], atom[1]), atom[4:7]) != atom[4:7]:
                letter = f" {atom[1]}" if atom[1] else ""
                x, y, z = atom[4:7]
                found.append((f"{chain} {number} {name} {atom[0]}{letter}", (x, y, z)))
    return found


def edit_numbers(session: HandSession) -> list[dict[str, Any]]:
    """The edits that stand, for a list on the page."""
    kept = ("number", "label", "note", "density")
    return [{k: v for k, v in asdict(e).items() if k in kept} for e in session.edits]
