"""Particles → refine3d → mask → postprocess → fit → refine → validate → deposit, unattended, on a simulated bundle."""

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import helix

from burnish.io.mrc import read_map

BOX, PIXEL = 40, 2.4


def _turn(generator: np.random.Generator) -> np.ndarray:
    q = generator.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _bundle() -> gemmi.Structure:
    """Seven helices of twenty residues about the origin, no two in contact, without symmetry."""
    generator = np.random.default_rng(5)
    rod = helix(20)
    xyz = np.array([s.atom.pos.tolist() for s in rod[0].all()])
    structure = gemmi.Structure()
    structure.spacegroup_hm, structure.cell = "P 1", gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    structure.add_model(gemmi.Model(1))
    placed: list[np.ndarray] = []
    while len(placed) < 7:
        at = (xyz - xyz.mean(0)) @ _turn(generator).T + generator.normal(scale=11.0, size=3)
        if np.linalg.norm(at, axis=1).max() > 34.0:
            continue
        if any(np.linalg.norm(at[:, None] - other, axis=2).min() < 4.5 for other in placed):
            continue
        chain = rod[0]["A"].clone()
        chain.name = "ABCDEFG"[len(placed)]
        for atom, place in zip((a for r in chain for a in r), at, strict=True):
            atom.pos, atom.b_iso = gemmi.Position(*place), 30.0
        structure[0].add_chain(chain)
        placed.append(at)
    structure.setup_entities()
    return structure


def _positions(path: Path) -> np.ndarray:
    structure = gemmi.read_structure(str(path))
    return np.array([s.atom.pos.tolist() for s in structure[0].all() if s.atom.name == "CA"])


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_whole_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    truth = _bundle()
    truth.make_mmcif_document().write_file("truth.cif")
    size = ("--box", BOX, "--angpix", PIXEL, "--particles", 150, "--micrographs", 5, "--diameter", 80)
    noise = ("--snr", 2.0, "--coloured", 0.0, "--shift-px", 1.0, "--seed", 3, "--no-centre")
    assert burnish("simulate", "truth.cif", "--out", "set", *map(str, (*size, *noise))) == 0
    reference = read_map(Path("set_map.mrc"))
    assert burnish("image", "set_map.mrc", "--lowpass", "20", "--out", "rough.mrc") == 0
    elsewhere, turn = truth.clone(), _turn(np.random.default_rng(8))
    for site in elsewhere[0].all():
        site.atom.pos = gemmi.Position(*(turn @ np.array(site.atom.pos.tolist()) + [100.0, -40.0, 12.0]))
    elsewhere.make_mmcif_document().write_file("model.cif")
    given = {
        "particles": "set_particles.star",
        "reference": "rough.mrc",
        "model": "model.cif",
        "resolution": 6.5,
        "mask-diameter": 84,
        "initial-lowpass": 20,
        "mask-lowpass": 8,
    }
    settings = [item for name, value in given.items() for item in ("--set", f"{name}={value}")]
    assert burnish("run", "model", *settings) == 0
    middle = np.array(reference.origin) + PIXEL * (BOX // 2)
    away = _positions(Path("Refine/job005/refined.cif")) - middle - _positions(Path("truth.cif"))
    assert np.sqrt((away**2).sum(1).mean()) < 2.0
    final = json.loads(Path("Refine/job005/refined.json").read_text())["final"]
    assert final["fsc_average"] > 0.6
    assert final["fsc_work"] - final["fsc_free"] < 0.1
    judged = json.loads(Path("Validate/job006/validation.json").read_text())["map"]
    assert judged["atom_inclusion"]["all_percent"] > 70.0
    deposition = Path("Deposit/job007")
    for name in ("model.cif", "primary_map.mrc", "to_fill_in.yaml", "report.html"):
        assert (deposition / name).exists(), name
    assert len(list(deposition.glob("*half*.mrc"))) == 2
    assert list(deposition.glob("*fsc*.xml"))
