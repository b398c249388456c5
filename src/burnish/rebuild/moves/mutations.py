"""Residues made what the sequence of the sample says that they are."""

from __future__ import annotations

import numpy as np

from burnish.chemistry.edit_residues import NewAtom, with_new_atoms
from burnish.chemistry.residues import ResidueView
from burnish.chemistry.sequences import differs, place_chains
from burnish.rebuild.conformations import BACKBONE
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.moves.side_chain_atoms import Maps, maps_of, others_near, record_of, triple
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.side_chains import Template, fit_side_chain, side_chain_template


def mutate_to_sequence(scene: Scene) -> Change:
    """Replace the side chains that are not those of the given sequences; nothing without sequences."""
    if not scene.sequences:
        return Change(structure=scene.structure)
    view_of = {v.residue: v for v in scene.views if v.is_primary}
    wanted = [
        (view_of[residue], placed.sequence[position])
        for placed in place_chains(scene.structure, scene.sequences)
        for residue, position in zip(placed.residues, placed.positions, strict=True)
        if residue in view_of and differs(view_of[residue].name, placed.sequence[position])
    ]
    if not wanted:
        return Change(structure=scene.structure)
    maps, records = maps_of(scene), []
    atoms, names, dropped = {}, {}, {}
    for view, name in wanted:
        template = side_chain_template(scene.monlib, name)
        if template is None or view.altloc or view.indices("N", "CA", "C") is None:
            why = f"no dictionary of {name}" if template is None else "incomplete, or with conformers"
            records.append(record_of("mutated", view.label, f"{name} in the sequence", False, why))
            continue
        record, new = _mutated(scene, view, template, maps)
        records.append(record)
        atoms[view.residue], names[view.residue] = new, name
        dropped[view.residue] = {n for n in view.atoms if n not in BACKBONE}
    structure = with_new_atoms(scene.structure, atoms, names=names, dropped=dropped) if names else scene.structure
    return Change(structure=structure, records=tuple(records))


def _mutated(scene: Scene, view: ResidueView, template: Template, maps: Maps) -> tuple[MoveRecord, tuple[NewAtom, ...]]:
    """The new side chain in the rotamer that lies best in density."""
    xyz = scene.evidence.atoms.xyz.numpy()
    present = {n: xyz[a] for n, a in view.atoms.items()}
    backbone = np.stack([present[n] for n in ("N", "CA", "C")])
    fitted = fit_side_chain(template, backbone, maps.density, maps.sigma, others_near(scene, view, backbone[1]))
    b_iso = 1.1 * float(scene.evidence.atoms.b_iso[view.atoms["CA"]])
    element = dict(zip(template.names, template.elements, strict=True))
    new = tuple(
        NewAtom(name=n, element=element[n], xyz=x, b_iso=b_iso) for n, x in zip(template.side, fitted.xyz, strict=True)
    )
    where = f"{view.chain} {view.number}"
    kept = [n for n in view.atoms if n in BACKBONE]
    undo = tuple((f"{where} {view.name} {n}", triple(x)) for n, x in present.items())
    added = tuple(f"{where} {template.name} {n}" for n in (*kept, *template.side))
    density = f"density {fitted.density.mean():.1f} σ" if len(fitted.density) else "no side chain"
    reason = f"{template.name} {fitted.rotamer}: {density}".replace(" :", ":")
    return record_of("mutated", view.label, f"{template.name} in the sequence", True, reason, undo, added), new
