"""Predicted models, whose B column holds pLDDT, made into models that can be refined."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from burnish.core.errors import DataError
from burnish.models.predicted import LEAST_CONFIDENT, b_from_plddt


def from_prediction(source: Path, structure: gemmi.Structure) -> tuple[gemmi.Structure, int]:
    """A copy with B from pLDDT and without residues of low confidence; the number of those that were left out.

    Raises
    ------
    DataError
        when the B column cannot be pLDDT, or nothing is confident enough.
    """
    model = structure.clone()
    values = [cra.atom.b_iso for cra in model[0].all()]
    factor = 100.0 if max(values) <= 1.0 else 1.0  # some programs write fractions
    if min(values) < 0.0 or max(values) * factor > 100.0:
        raise DataError(
            f"{source}: B from {min(values):g} to {max(values):g} cannot be pLDDT (0 to 100); leave --predicted out"
        )
    dropped = 0
    for chain in model[0]:
        for i in reversed(range(len(chain))):
            plddt = factor * float(np.mean([atom.b_iso for atom in chain[i]]))
            if plddt < LEAST_CONFIDENT:
                del chain[i]
                dropped += 1
            else:
                for atom in chain[i]:
                    atom.b_iso = float(b_from_plddt(np.array([factor * atom.b_iso]))[0])
    model.remove_empty_chains()
    if len(model[0]) == 0:
        raise DataError(
            f"{source}: no residue has pLDDT {LEAST_CONFIDENT:g} or more; is the B column pLDDT? If not, leave "
            "--predicted out"
        )
    model.setup_entities()
    return model, dropped
