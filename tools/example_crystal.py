"""Write a crystal small enough for tests and examples: a helix of alanine in P 21 21 21 with simulated amplitudes.

python tools/example_crystal.py FOLDER        # model.cif, disturbed, and data.mtz
"""

import argparse
from pathlib import Path

import gemmi
import numpy as np

CELL = (19.2, 21.7, 24.4, 90.0, 90.0, 90.0)
GROUP = "P 21 21 21"


def _next_atom(a: np.ndarray, b: np.ndarray, c: np.ndarray, length: float, angle: float, torsion: float) -> np.ndarray:
    """Place an atom at a bond length (Å), angle and torsion (°) from three others."""
    angle, torsion = np.radians(angle), np.radians(torsion)
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    frame = np.stack([along, np.cross(normal, along), normal])
    local = length * np.array([-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
    return c + local @ frame


def helix(residues: int = 8, phi: float = -62.0, psi: float = -43.0) -> gemmi.Structure:
    """An alanine helix with Engh and Huber's geometry in the test crystal."""
    n, ca = np.zeros(3), np.array([1.458, 0.0, 0.0])
    c = _next_atom(np.array([0.0, 1.0, 0.0]), n, ca, 1.525, 111.0, -60.0)
    chain = gemmi.Chain("A")
    for number in range(1, residues + 1):
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(number, " ")
        next_n = _next_atom(n, ca, c, 1.329, 116.2, psi)
        places = {
            "N": n,
            "CA": ca,
            "C": c,
            "O": _next_atom(n, ca, c, 1.231, 120.8, psi + 180.0),
            "CB": _next_atom(c, n, ca, 1.521, 110.4, -122.6),
        }
        for name, xyz in places.items():
            atom = gemmi.Atom()
            atom.name, atom.element, atom.occ = name, gemmi.Element(name[0]), 1.0
            atom.b_iso = 12.0 + number
            atom.pos = gemmi.Position(*(xyz + np.array([4.0, 9.0, 8.0])))
            residue.add_atom(atom)
        chain.add_residue(residue)
        next_ca = _next_atom(ca, c, next_n, 1.458, 121.7, 180.0)
        n, ca, c = next_n, next_ca, _next_atom(c, next_n, next_ca, 1.525, 111.0, phi)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*CELL), GROUP
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    structure.setup_cell_images()
    return structure


def disturbed(structure: gemmi.Structure, shift: float = 0.25, seed: int = 2) -> gemmi.Structure:
    """The structure with every atom moved at random, rms `shift` Å in three dimensions, and B set to their mean."""
    moved = structure.clone()
    generator = np.random.default_rng(seed)
    for cra in moved[0].all():
        step = generator.normal(0.0, shift / np.sqrt(3.0), 3)
        cra.atom.pos = gemmi.Position(*(np.array(cra.atom.pos.tolist()) + step))
        cra.atom.b_iso = 15.0
    return moved


def amplitudes(
    structure: gemmi.Structure, d_min: float = 1.9, seed: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, amplitudes by direct summation with 3 % noise, and their sigmas."""
    hkl = gemmi.make_miller_array(structure.cell, gemmi.SpaceGroup(GROUP), d_min)
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    f = np.array([abs(calculator.calculate_sf_from_model(structure[0], h)) for h in hkl.tolist()])
    sigma = 0.03 * f + 0.2
    noisy = np.abs(f + np.random.default_rng(seed).normal(0.0, 1.0, len(f)) * sigma)
    return hkl, 10.0 * noisy, 10.0 * sigma


def write_data(folder: Path, truth: gemmi.Structure, d_min: float = 1.9) -> Path:
    """Write `data.mtz`, noisy amplitudes of the structure with free flags; returns its path."""
    hkl, f, sigma = amplitudes(truth, d_min)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(GROUP)
    mtz.set_cell_for_all(truth.cell)
    mtz.add_dataset("native")
    for label, kind in (("FP", "F"), ("SIGFP", "Q"), ("FREE", "I")):
        mtz.add_column(label, kind)
    flags = np.random.default_rng(4).integers(0, 10, len(f))
    mtz.set_data(np.column_stack([hkl, f, sigma, flags]).astype(np.float32))
    mtz.write_to_file(str(folder / "data.mtz"))
    return folder / "data.mtz"


def write_case(folder: Path) -> tuple[Path, Path]:
    """Write a disturbed model and data with free flags; returns their paths."""
    truth = helix()
    disturbed(truth).make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder / "model.cif", write_data(folder, truth)


def main() -> None:
    """Write model and data into the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_case(folder)


if __name__ == "__main__":
    main()
