"""Pictures of moves: the place before and after, in the maps of the model before and after its round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import torch

from burnish.chemistry.edit_model import without_hydrogens
from burnish.chemistry.labels import atom_name
from burnish.data.particle_symmetry import Symmetry
from burnish.io.atomic import write_aside
from burnish.io.models import atoms_of
from burnish.maps.sampling import rms, spline_map
from burnish.models.data_term import DataTerm
from burnish.reports.density_pictures import PicturedAtoms, PicturedMaps, best_view, density_pictures
from burnish.symmetry.images import images_near
from burnish.workflows.model_rounds import term_maps, term_symmetry

FOLDER = "pictures"
MOVED = 0.3  # Å; atoms that moved less are not what the move was about
MOST = 80  # pictures a round; waters come last


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A model with its maps.

    Attributes
    ----------
    names : of its atoms.
    places : position of each atom by name, Å.
    structure : without hydrogens.
    maps : to be drawn.
    """

    names: tuple[str, ...]
    places: dict[str, np.ndarray]
    structure: gemmi.Structure
    maps: PicturedMaps


def snapshot(structure: gemmi.Structure, term: DataTerm) -> Snapshot:
    """A model, hydrogens left out, and its maps; the term has seen it last."""
    bare = without_hydrogens(structure)
    atoms = atoms_of(bare)
    term.prepare(atoms)
    maps = term_maps(term)
    names = tuple(atom_name(site) for site in bare[0].all())
    return Snapshot(
        names=names,
        places=dict(zip(names, atoms.xyz.numpy(), strict=True)),
        structure=bare,
        maps=PicturedMaps(
            density=spline_map(maps.density),
            difference=spline_map(maps.difference),
            sigma=rms(maps.density),
            difference_sigma=rms(maps.difference),
        ),
    )


def draw_moves(
    folder: Path,
    lines: Sequence[dict[str, Any]],
    before: gemmi.Structure,
    after: gemmi.Structure,
    term: DataTerm,
    most: int = MOST,
) -> None:
    """Write a picture of each accepted move of one round and put its name into the move's line, under "picture".

    Parameters
    ----------
    folder : of the job; pictures go into a folder inside.
    lines : moves as plain values; those that are drawn are changed.
    before, after : the model before and after the round.
    term : data of its own: it is scaled to both models.
    most : how many; changes of conformation and additions come first, waters last.
    """
    wanted = sorted((line for line in lines if line["accepted"]), key=lambda line: line["kind"].startswith("water"))
    if not wanted[:most]:
        return
    first, second = snapshot(before, term), snapshot(after, term)
    crystal = term_symmetry(term)
    (folder / FOLDER).mkdir(exist_ok=True)
    for line in wanted[:most]:
        drawn = _drawn(line, first, second, crystal)
        if drawn is None:
            continue
        name = f"{FOLDER}/{line['round']}.{line['move']}.png"
        with write_aside(folder / name) as aside:
            aside.write_bytes(drawn)
        line["picture"] = name


def read_pictures(folder: Path, lines: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """The pictures that were drawn, by name."""
    names = [str(line["picture"]) for line in lines if line.get("picture")]
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def _drawn(line: dict[str, Any], first: Snapshot, second: Snapshot, crystal: Symmetry | None) -> bytes | None:
    """The place of one move in both snapshots; None where nothing of it is left."""
    meant = _meant(line, first, second)
    old = [first.places[name] for name in sorted(meant) if name in first.places]
    new = [second.places[name] for name in sorted(meant) if name in second.places]
    if not old and not new:
        return None
    focus = np.array([*old, *new])
    view = best_view(focus if len(focus) > 2 else np.concatenate([focus, _around(second, focus)]))
    reach = view.reach + 3.0
    panels = [
        ("before", _pictured(first, meant, view.centre, reach, crystal), first.maps),
        ("after", _pictured(second, meant, view.centre, reach, crystal), second.maps),
    ]
    return density_pictures(panels, view, focus)


def _meant(line: dict[str, Any], first: Snapshot, second: Snapshot) -> set[str]:
    """Atoms that came, went or moved visibly; all that the record names where none did."""
    named = {name for name, _ in line["undo"]}
    changed = {*line.get("added", ()), *(row["name"] for row in line.get("removed", ()))}
    for name in named:
        one, two = first.places.get(name), second.places.get(name)
        if one is None or two is None or np.linalg.norm(one - two) > MOVED:
            changed.add(name)
    return changed or named


def _around(shot: Snapshot, focus: np.ndarray) -> np.ndarray:
    """Neighbours of one or two atoms, which give their picture a direction."""
    everything = np.array(list(shot.places.values()))
    return np.asarray(everything[np.linalg.norm(everything - focus.mean(0), axis=1) < 3.6])


def _pictured(
    shot: Snapshot, meant: set[str], centre: np.ndarray, reach: float, crystal: Symmetry | None
) -> PicturedAtoms:
    sites = list(shot.structure[0].all())
    xyz = torch.tensor([s.atom.pos.tolist() for s in sites], dtype=torch.float64).numpy()
    near = images_near(crystal, xyz, centre[None], reach)
    return PicturedAtoms(
        xyz=near.xyz,
        elements=tuple(sites[k].atom.element.name for k in near.source),
        conformer=tuple("" if sites[k].atom.altloc == "\0" else sites[k].atom.altloc for k in near.source),
        meant=np.array(
            [own and shot.names[k] in meant for k, own in zip(near.source, near.is_identity, strict=True)], dtype=bool
        ),
    )
