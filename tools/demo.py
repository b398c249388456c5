"""Refine a real crystal structure from a disturbed start: what `make demo` runs.

The model and the measured amplitudes are those of a tutorial in the npm package `moorhen` (BSD-3-Clause); nothing of it
is part of this project. The model is moved by about a third of an ångström, its B set to their mean, so that there is
something to refine.

    python tools/demo.py [--tutorial 1|2|3|4] [--folder demo] [--npm npm] [-- options of burnish refine]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import gemmi
import numpy as np
from rich.console import Console
from rich.table import Table

PACKAGE = "moorhen@0.22.7"
SHA256 = "52eec27f06d8cc61f05f599e601a1b857e0cff8459dcf2891d25feaa73f3f4c6"
FETCH_TIMEOUT = 300.0  # s
INSIDE = "package/public/baby-gru/tutorials"
TITLES = {
    1: "1.9 Å, P 21 21 21",
    2: "MDM2 with an inhibitor, 1.6 Å, P 65 2 2",
    3: "lysozyme, an unfinished model, 1.76 Å, C 2",
    4: "an endoglucanase, 1.8 Å, P 21 21 21",
}
CORRELATION_LENGTH = 8.0  # Å, of the smooth part of the displacement
SMOOTH, RANDOM = 0.30, 0.15  # Å rms, of its smooth and its independent part


def fetch(folder: Path, npm: str) -> Path:
    """Download the package once and check it; return the archive."""
    archive = folder / f"{PACKAGE.replace('@', '-')}.tgz"
    if not archive.exists():
        command = [npm, "pack", PACKAGE, "--silent", "--fetch-retries=1", "--pack-destination", str(folder)]
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=FETCH_TIMEOUT)
        except (OSError, subprocess.SubprocessError) as error:
            sys.exit(
                f"demo: {PACKAGE} cannot be fetched from the npm registry ({error}); is there a network? A proxy with "
                "certificates of its own needs NODE_EXTRA_CA_CERTS"
            )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"demo: {archive} has SHA-256 {found}, expected {SHA256}; delete it and run the demo again")
    return archive


def unpack(archive: Path, number: int, folder: Path) -> tuple[Path, Path, Path]:
    """Take model, data and ligand dictionary of one tutorial out of the archive."""
    names = {
        f"moorhen-tutorial-structure-number-{number}.pdb": folder / f"tutorial{number}.pdb",
        f"moorhen-tutorial-map-number-{number}.mtz": folder / f"tutorial{number}.mtz",
        "NUT.cif": folder / "NUT.cif",
    }
    with tarfile.open(archive) as package:
        for name, path in names.items():
            member = package.extractfile(f"{INSIDE}/{name}")
            if member is None:
                sys.exit(f"demo: {name} is not in {archive}")
            path.write_bytes(member.read())
    model, data, ligand = names.values()
    return model, data, ligand


def disturb(model: Path, out: Path, seed: int = 1) -> float:
    """Write the model displaced, with uniform B and without hydrogens; return the rms displacement, Å."""
    structure = gemmi.read_structure(str(model))
    structure.setup_entities()
    structure.remove_hydrogens()
    atoms = [cra.atom for cra in structure[0].all()]
    xyz = np.array([atom.pos.tolist() for atom in atoms])
    generator = np.random.default_rng(seed)
    # a smooth field: random vectors at scattered points, each fading with distance
    centres = xyz[generator.choice(len(xyz), size=min(200, len(xyz)), replace=False)]
    distance2 = ((xyz[:, None] - centres[None]) ** 2).sum(2)
    field = np.exp(-0.5 * distance2 / CORRELATION_LENGTH**2) @ generator.normal(size=(len(centres), 3))
    field *= SMOOTH / np.sqrt((field**2).sum(1).mean())
    step = field + generator.normal(size=xyz.shape) * RANDOM / np.sqrt(3.0)
    mean_b = float(np.mean([atom.b_iso for atom in atoms]))
    for atom, position in zip(atoms, xyz + step, strict=True):
        atom.pos, atom.b_iso, atom.aniso = gemmi.Position(*position), mean_b, gemmi.SMat33f(0, 0, 0, 0, 0, 0)
    structure.write_pdb(str(out))
    return float(np.sqrt((step**2).sum(1).mean()))


def show(console: Console, record: dict, seconds: float) -> None:
    """The table of R factors and geometry, start against end."""
    first, final = record["cycles"][0], record["final"]
    table = Table(title="What refinement did")
    for head in ("", "start", "end"):
        table.add_column(head, justify="left" if not head else "right")
    for label, name, form in (
        ("R-work", "r_work", ".4f"),
        ("R-free", "r_free", ".4f"),
        ("CC of amplitudes, work", "cc_work", ".3f"),
        ("CC of amplitudes, free", "cc_free", ".3f"),
        ("bonds, rms deviation, Å", "bond_rmsd", ".4f"),
        ("bonds, rms Z", "bond_rmsz", ".2f"),
        ("angles, rms deviation, °", "angle_rmsd", ".2f"),
        ("angles, rms Z", "angle_rmsz", ".2f"),
    ):
        table.add_row(label, f"{first[name]:{form}}", f"{final[name]:{form}}")
    console.print(table)
    console.print(f"{final['cycles']} cycles, {seconds:.0f} s")


def main() -> None:
    """Fetch, disturb, refine, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tutorial", type=int, default=3, choices=sorted(TITLES))
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--npm", default="npm")
    parser.add_argument("--fetch-only", action="store_true", help="get model and data, disturb, do not refine")
    parser.add_argument("options", nargs="*", help="passed on to burnish refine")
    given = parser.parse_args()
    console = Console(highlight=False)
    given.folder.mkdir(parents=True, exist_ok=True)
    model, data, ligand = unpack(fetch(given.folder, given.npm), given.tutorial, given.folder)
    start = given.folder / f"disturbed{given.tutorial}.pdb"
    moved = disturb(model, start)
    console.print(
        f"Tutorial {given.tutorial} of {PACKAGE}: {TITLES[given.tutorial]}; atoms moved by {moved:.2f} Å rms."
    )
    if given.fetch_only:
        console.print(f"{start} and {data}", soft_wrap=True)
        return
    out = given.folder / f"refine{given.tutorial}"
    command = [sys.executable, "-m", "burnish.cli.main", "refine", str(start), str(data), "--out", str(out)]
    command += ["--ligand", str(ligand)] if given.tutorial == 2 else []
    command += given.options
    console.print(f"[bold]burnish {' '.join(command[3:])}[/]", soft_wrap=True)
    began = time.monotonic()
    ended = subprocess.run(command, stdout=subprocess.DEVNULL)
    if ended.returncode:
        sys.exit(ended.returncode)
    show(console, json.loads((out / "refined.json").read_text()), time.monotonic() - began)
    console.print(f"Report: {(out / 'report.html').resolve()}", soft_wrap=True)
    console.print(f"In Coot: coot --pdb {out / 'refined.pdb'} --auto {out / 'refined.mtz'}", soft_wrap=True)


if __name__ == "__main__":
    main()
