"""The tool that plants errors and counts repairs: nothing is repaired in the damaged model, everything in the truth."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.rebuild.scenes import peptide_with_side_chains

from burnish.chemistry.edit_model import with_positions, with_waters
from burnish.io.models import atoms_of

PATH = Path(__file__).parents[2] / "benchmarks" / "planted_errors.py"
NAMES = ("ALA", "LEU", "SER", "PHE", "LYS", "VAL", "ASP", "GLY", "THR", "LEU", "GLU", "ILE", "LEU", "TRP") * 3


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("planted_errors", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_errors"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def truth():
    chain = peptide_with_side_chains(NAMES, -120.0, 130.0)
    chain.setup_entities()
    xyz = atoms_of(chain).xyz.numpy()
    rng = np.random.default_rng(1)
    places = [tuple(x + 9.0 * d / np.linalg.norm(d)) for x, d in zip(xyz[::20], rng.normal(size=(99, 3)), strict=False)]
    return with_waters(chain, places, [20.0] * len(places))[0]


def test_every_kind_is_planted_and_counted(tool, truth):
    done = tool.damage(truth, 0)
    before, after = tool.count(truth, done, done.structure), tool.count(truth, done, truth)
    kinds = ["rotamers", "side chains cut", "peptides", "waters removed", "waters misplaced", "loops of 6"]
    for kind in kinds:
        assert before[kind]["planted"] >= 1
        assert before[kind]["repaired"] == 0, kind
        assert after[kind]["repaired"] == after[kind]["planted"], kind
    assert before["changed wrongly"]["repaired"] == after["changed wrongly"]["repaired"] == 0
    again = tool.damage(truth, 0)
    assert again.rotamers == done.rotamers
    assert (atoms_of(again.structure).xyz == atoms_of(done.structure).xyz).all()


def test_what_was_right_and_is_moved_counts_as_wrong(tool, truth):
    done = tool.damage(truth, 0)
    xyz = atoms_of(truth).xyz.numpy().copy()
    names = [(s.residue.seqid.num, s.atom.name, s.chain.name) for s in truth[0].all()]
    spared = next(k for k, n in enumerate(NAMES, 1) if n == "PHE" and f"A {k} PHE" not in {*done.rotamers, *done.cut})
    for k, (number, name, chain) in enumerate(names):
        if (number, chain) == (spared, "A") and name.startswith(("CD", "CE", "CZ", "CG")):
            xyz[k] += 3.0
    wrong = tool.count(truth, done, with_positions(truth, xyz))["changed wrongly"]
    assert wrong["repaired"] == 1
    assert f"A {spared} PHE" in wrong["names"]
