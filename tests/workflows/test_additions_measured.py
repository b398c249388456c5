"""What moves add beside the chains, on measured data: taken out of deposited models, they come back."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from burnish.chemistry.edit_model import without_atoms, without_hydrogens
from burnish.core.events import ignore
from burnish.options.rebuild import RebuildOptions
from burnish.rebuild.additions import add_ligand
from burnish.rebuild.conformer_moves import add_conformers, drop_conformers
from burnish.rebuild.moves.ions import place_ions
from burnish.rebuild.scene import Scene
from burnish.workflows.model_rounds import make_scene, make_term, read_start


def scene_of(folder: Path, structure: gemmi.Structure, tmp_path: Path, ligand: tuple[str, ...] = ()) -> Scene:
    """The density of a changed deposited model, as the moves see it; not refined."""
    structure.make_mmcif_document().write_file(str(tmp_path / "model.cif"))
    options = RebuildOptions(
        model=tmp_path / "model.cif", data=folder / "data.mtz", out=tmp_path / "out", ligand=ligand
    )
    start = read_start(options, ignore, cycles=0)
    return make_scene(start, without_hydrogens(start.inputs.topology.structure), make_term(start, ignore))


def one_conformer(structure: gemmi.Structure) -> tuple[gemmi.Structure, dict[str, gemmi.Residue]]:
    """The model with the first conformers alone, and the residues that had more."""
    split, gone = {}, set()
    for index, site in enumerate(structure[0].all()):
        if site.atom.altloc not in ("\0", "A"):
            gone.add(index)
            split[f"{site.chain.name} {site.residue.seqid} {site.residue.name}"] = site.residue.clone()
    single = without_atoms(structure, gone)
    for site in single[0].all():
        if site.atom.altloc == "A":
            site.atom.altloc, site.atom.occ = "\0", 1.0
    return single, split


@pytest.fixture
def nutlin(shared_data: Path) -> tuple[Path, gemmi.Structure]:
    folder = shared_data / "mx" / "4hg7"
    structure = gemmi.read_structure(str(folder / "model.cif"))
    structure.setup_entities()
    return folder, structure


def test_second_conformers_come_back_and_no_others(nutlin, tmp_path):
    folder, deposited = nutlin
    single, split = one_conformer(deposited)
    scene = scene_of(folder, single, tmp_path, (str(folder / "NUT.cif"),))
    change = add_conformers(scene)
    accepted = [r for r in change.records if r.accepted]
    assert len(accepted) >= 3
    assert {r.residue for r in accepted} <= set(split)
    serine = split["A 78 SER"]
    found = next(c.atom for c in change.structure[0].all() if str(c) == "A/SER 78/OG.B")
    assert min(found.pos.dist(a.pos) for a in serine if a.name == "OG") < 0.5


def test_conformers_that_fade_are_dropped(nutlin, tmp_path):
    folder, deposited = nutlin
    for site in deposited[0].all():
        if str(site.residue) == "57(LEU)" and site.atom.altloc != "\0":
            site.atom.occ = 0.96 if site.atom.altloc == "A" else 0.04
    scene = scene_of(folder, deposited, tmp_path, (str(folder / "NUT.cif"),))
    change = drop_conformers(scene)
    assert [r.residue for r in change.records] == ["A 57 LEU (B)"]
    leucine = change.structure[0]["A"]["57"][0]
    assert {(a.altloc, a.occ) for a in leucine} == {("\0", 1.0)}


def test_manganese_comes_back_with_its_bonds(shared_data, tmp_path):
    folder = shared_data / "mx" / "3zt9"
    deposited = gemmi.read_structure(str(folder / "model.cif"))
    deposited.setup_entities()
    sites = list(deposited[0].all())
    truth = np.array([c.atom.pos.tolist() for c in sites if c.atom.element.name == "Mn"])
    bare = without_atoms(deposited, {k for k, c in enumerate(sites) if c.atom.element.name == "Mn"})
    change = place_ions(scene_of(folder, bare, tmp_path))
    metals = [r for r in change.records if r.residue.endswith(" MN")]
    assert len(metals) == len(truth) == 3
    assert len(change.records) <= 4  # a water among three donors is as dense as chloride
    found = np.array([c.atom.pos.tolist() for c in change.structure[0].all() if c.atom.element.name == "Mn"])
    assert np.linalg.norm(found[:, None] - truth[None], axis=2).min(axis=0).max() < 0.3
    bonds = [c for c in change.structure.connections if c.type == gemmi.ConnectionType.MetalC]
    assert len(bonds) >= 15


def test_waters_are_left_alone_where_there_are_no_ions(nutlin, tmp_path):
    folder, deposited = nutlin
    change = place_ions(scene_of(folder, deposited, tmp_path, (str(folder / "NUT.cif"),)))
    assert [r for r in change.records if r.accepted] == []


@pytest.mark.slow
def test_the_inhibitor_comes_back(nutlin, tmp_path):
    folder, deposited = nutlin
    sites = list(deposited[0].all())
    truth = {c.atom.name: np.array(c.atom.pos.tolist()) for c in sites if c.residue.name == "NUT"}
    bare = without_atoms(deposited, {k for k, c in enumerate(sites) if c.residue.name == "NUT"})
    change = add_ligand(scene_of(folder, bare, tmp_path, (str(folder / "NUT.cif"),)), "NUT")
    (record,) = change.records
    assert record.accepted
    away = [
        np.linalg.norm(np.array(c.atom.pos.tolist()) - truth[c.atom.name])
        for c in change.structure[0].all()
        if c.residue.name == "NUT"
    ]
    assert float(np.median(away)) < 0.5  # phenyl rings may be named the other way round
