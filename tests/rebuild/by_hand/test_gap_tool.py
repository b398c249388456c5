"""Residues built by hand into a gap."""

import gemmi
import numpy as np
import pytest

from burnish.core.errors import InputError
from burnish.io.models import atoms_of
from burnish.rebuild.by_hand.gap_tool import build_gap
from hand_peptide import NAMES, density_of, hand_model, library, true_model

LIBRARY = library()
MISSING = (3, 4, 5)


def without(structure: gemmi.Structure, sequence: tuple[str, ...] = ()) -> gemmi.Structure:
    """The helix with a gap in the middle."""
    cut = structure.clone()
    for k in reversed(range(len(cut[0]["A"]))):
        if cut[0]["A"][k].seqid.num in MISSING:
            del cut[0]["A"][k]
    cut.setup_entities()
    cut.entities[0].full_sequence = list(sequence)
    return cut


@pytest.mark.parametrize(("sequence", "names"), [(NAMES, NAMES[2:5]), ((), ("ALA",) * 3)])
def test_a_gap_is_built_through_its_density(sequence: tuple[str, ...], names: tuple[str, ...]) -> None:
    truth = true_model(LIBRARY.monlib)
    density = density_of(truth)
    model = hand_model(without(truth, sequence), density, LIBRARY.monlib)
    grown = build_gap(model, model.find("A", "2"), density, atoms_of(model.structure))
    new = {r.seqid.num: r for r in grown.structure[0]["A"]}
    assert tuple(new[n].name for n in MISSING) == names
    assert ("alanines" in grown.note) == (not sequence)
    away = [new[n]["CA"][0].pos.dist(truth[0]["A"][str(n)][0]["CA"][0].pos) for n in MISSING]
    assert np.max(away) < 1.0
    with pytest.raises(InputError, match="nothing is missing"):
        build_gap(model, model.find("A", "1"), density, atoms_of(model.structure))


def test_a_gap_without_density_stays_open() -> None:
    cut = without(true_model(LIBRARY.monlib))
    density = density_of(cut)
    model = hand_model(cut, density, LIBRARY.monlib)
    with pytest.raises(InputError, match=r"density|no chain"):
        build_gap(model, model.find("A", "6"), density, atoms_of(model.structure))
