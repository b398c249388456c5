"""Stages of a flexible fit, and a better model to be like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from burnish.chemistry.labels import atom_labels
from burnish.core.errors import DataError
from burnish.core.events import Listener, Message
from burnish.io.models import read_model
from burnish.models.refinement_system import RefinableModel
from burnish.models.restraints.neighbours import reference_distances

LEAST_SHARED = 0.5  # share of the heavy atoms that a reference must have


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage.

    Attributes
    ----------
    resolution : limit of the maps, Å.
    mask_radius : about the model, Å: as far as it may have to go.
    rigid_cycles, cycles : of chains as rigid bodies, and of all atoms after them.
    jelly_body : σ of the restraints that hold present distances, Å.
    text : in words.
    domains : rigid bodies are the domains of chains, not whole chains.
    """

    resolution: float
    mask_radius: float
    rigid_cycles: int
    cycles: int
    jelly_body: float
    text: str
    domains: bool = False


def stages(start: float, end: float) -> tuple[Stage, ...]:
    """From a coarse resolution to a finer one: rigid chains, rigid domains, a stiff jelly body, a
    softer one.

    Examples
    --------
    >>> [round(s.resolution, 1) for s in stages(9.0, 4.0)]
    [9.0, 9.0, 9.0, 6.0]
    """
    wide = max(4.0, 0.8 * start)
    between = math.sqrt(start * end)
    return (
        Stage(resolution=start, mask_radius=wide, rigid_cycles=5, cycles=0, jelly_body=0.02, text="rigid chains"),
        Stage(
            resolution=start,
            mask_radius=wide,
            rigid_cycles=8,
            cycles=0,
            jelly_body=0.02,
            text="rigid domains",
            domains=True,
        ),
        Stage(resolution=start, mask_radius=wide, rigid_cycles=0, cycles=15, jelly_body=0.02, text="stiff jelly body"),
        Stage(
            resolution=between,
            mask_radius=max(3.0, 0.8 * between),
            rigid_cycles=0,
            cycles=10,
            jelly_body=0.03,
            text="jelly body",
        ),
    )


def with_reference(refinable: RefinableModel, path: Path, listener: Listener) -> RefinableModel:
    """The model with the local distances of a better one as restraints."""
    reference = read_model(path)
    if refinable.labels is None:
        return refinable
    labels = atom_labels(reference.structure)
    found = reference_distances(refinable.labels, refinable.restraints.contacts, labels, reference.atoms.xyz.numpy())
    heavy = ~refinable.restraints.contacts.is_hydrogen.numpy()
    known = set(labels.keys())
    shared = sum(bool(h) and key in known for h, key in zip(heavy, refinable.labels.keys(), strict=True))
    if shared < LEAST_SHARED * int(heavy.sum()):
        raise DataError(
            f"{path}: has {shared} of the model's {int(heavy.sum())} atoms by chain, number and name; expected the "
            "same molecule with the same chain names and residue numbers"
        )
    listener(Message(f"reference {path.name}: {len(found.distance)} distances between neighbours"))
    return replace(refinable, reference=found)
