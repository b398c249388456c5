"""What an iteration of refine3d costs by the size of the images, part by part, and what that comes to on many workers.

    scaling.py measure --size 128 [--count 64] --json FILE      one size: processor seconds of each part
    scaling.py fit FILE… [--particles 1000000] [--box 400] [--workers 64] …      the model, and its predictions

Measured with one thread on images of a simulated particle at the last iterations' settings (all shells up to Nyquist,
modes carried from before, and once with a search over all orientations). The model is in docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from burnish.core.events import ignore
from burnish.core.memory import return_freed_memory
from burnish.data.optics import Defocus, OpticsGroup
from burnish.geometry.rotations import random_rotations
from burnish.particles.controller import Plan, Progress
from burnish.particles.expectation import Alone, Setup, empty_tally, expect_chunks, make_reference
from burnish.particles.images import CtfMode
from burnish.particles.maximisation import make_maps
from burnish.particles.modes import new_modes
from burnish.particles.projection import cut_slices
from burnish.particles.reconstruct import padded_transform, soft_sphere
from burnish.particles.state import State, save_state
from burnish.particles.store import BlockStore, Frame, ParticleSet

PIXEL = 1.0  # Å
REPEATS = 1


def timed(work: Callable[[], object]) -> float:
    """Least processor time of a few calls, s."""
    best = math.inf
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def blobs(size: int) -> torch.Tensor:
    """A particle of Gaussian blobs without symmetry. (size,)*3 float32"""
    generator = np.random.default_rng(1)
    line = np.arange(size) - size // 2
    out = np.zeros((size,) * 3, np.float32)
    for _ in range(40):
        z, y, x = generator.normal(0, 0.12 * size, 3)
        w = generator.uniform(0.012, 0.03) * size
        out += np.einsum("i,j,k->ijk", *(np.exp(-0.5 * ((line - c) / w) ** 2) for c in (z, y, x))).astype(np.float32)
    return torch.from_numpy(out)


def particles(size: int, count: int, density: torch.Tensor) -> tuple[ParticleSet, torch.Tensor]:
    """Noisy projections, half of them in each half set, and their rotations."""
    group = OpticsGroup(
        name="one", voltage=300e3, spherical_aberration=2.7e7, amplitude_contrast=0.1, pixel_size=PIXEL, box_size=size
    )
    zero, one = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
    whole = torch.zeros(count, dtype=torch.int64)
    defocus = Defocus(u=1.5e4 * one, v=1.4e4 * one, angle=zero, phase_shift=zero, b_factor=zero, scale=one)
    rotation = random_rotations(count, torch.Generator().manual_seed(2))
    frame = Frame(size=size, pixel_size=PIXEL, mask_radius=0.4 * size)
    empty = ParticleSet(
        images=lambda i: torch.zeros(len(i), size, size), optics=(group,), optics_index=whole, defocus=defocus,
        half_set=torch.arange(count) % 2, group=whole,
    )  # fmt: skip
    lattice = BlockStore(frame, empty, CtfMode(), block_size=32, budget=0).lattices[0]
    radius = frame.nyquist
    k = lattice.count(radius)
    cut = cut_slices(padded_transform(density, radius), rotation, lattice.coordinates[:k])
    kx, ky = lattice.pixels[:k, 0].long(), lattice.pixels[:k, 1].long()
    sign = 1.0 - 2.0 * ((kx + ky) % 2).float()
    transform = torch.zeros(count, size, size // 2 + 1, dtype=torch.complex64)
    transform[:, ky % size, kx] = torch.complex(cut[:, :k], cut[:, k:]) * sign
    images = torch.fft.irfft2(transform, s=(size, size))
    images = images / images.std() + 2.0 * torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    full = ParticleSet(
        images=lambda i: images[i], optics=(group,), optics_index=whole, defocus=defocus,
        half_set=torch.arange(count) % 2, group=whole,
    )  # fmt: skip
    return full, rotation


def measure(size: int, count: int) -> dict[str, float]:
    """Processor seconds of the parts of an iteration."""
    density = blobs(size)
    chosen, rotation = particles(size, count, density)
    frame = Frame(size=size, pixel_size=PIXEL, mask_radius=0.4 * size)
    store = BlockStore(frame, chosen, CtfMode(), block_size=32, budget=0)
    setup = Setup(
        store=store, operators=torch.eye(3, dtype=torch.float64)[None], symmetry="C1",
        mask=soft_sphere(size, 0.4 * size, 5.0), reference_has_ctf=True, flattened_fsc=False, join_shell=0.0,
        offset_range=6.0, offset_step=2.0, seed=1, threads=1, listener=ignore,
    )  # fmt: skip
    state = State(
        iteration=10, maps=torch.stack([density, density]),
        sigma2=torch.ones(2, 1, frame.shells, dtype=torch.float64), centre=torch.zeros(count, 2, dtype=torch.int64),
        rotation=rotation, shift=torch.zeros(count, 2, dtype=torch.float64),
        modes=new_modes(torch.arange(count), rotation, torch.zeros(count, 2)),
        scale=torch.ones(2, 1, dtype=torch.float64), norm=torch.ones(count, dtype=torch.float64),
        sigma_shift=torch.full((2,), 3.0, dtype=torch.float64), progress=Progress(),
    )  # fmt: skip
    power = Alone().image_power(state, setup)
    state = State(**{f: getattr(state, f) for f in State.__dataclass_fields__ if f != "sigma2"},
                  sigma2=(power.image_power / power.pixels.clamp(min=1)).clamp(min=1e-9))  # fmt: skip
    plan = Plan(stage="modes", order=3, radius=frame.nyquist, map_radius=frame.nyquist)
    search = Plan(
        stage="modes", order=3, radius=frame.nyquist, map_radius=frame.nyquist, search=True,
        search_radius=min(24, frame.nyquist),
    )  # fmt: skip
    chunk, tally = store.chunks(0)[0], empty_tally(store)
    images = sum(len(store.blocks[b]) for b in chunk)
    row: dict[str, float] = {"size": size, "images": images}
    row["load"] = timed(lambda: [store.load(b, state.centre, one_of(count), one_of(count)) for b in chunk]) / images
    for name, p in (("modes", plan), ("search", search)):
        reference = make_reference(state, setup, p, 0)
        row[f"reference_{name}"] = timed(lambda p=p: make_reference(state, setup, p, 0))  # type: ignore[misc]
        found = []

        def look(p: Plan = p, reference=reference, found: list = found) -> None:  # type: ignore[no-untyped-def,type-arg]
            found[:] = list(expect_chunks(state, setup, p, reference, [chunk], tally))

        row[name] = timed(look) / images
        row[f"{name}_a_particle"] = len(found[0].modes) / images
    sums = found[0].sums
    row["sums_bytes"] = sums.values.numel() * 4.0
    row["add"] = timed(lambda: sums.values.add_(sums.values))
    row["maps"] = timed(lambda: make_maps((sums, sums), setup, state.maps, relaxation=1.0, join=False))
    with tempfile.TemporaryDirectory() as folder:
        row["save"] = timed(lambda: save_state(state, Path(folder) / "state.pt"))
        row["state_bytes"] = float((Path(folder) / "state.pt").stat().st_size)
    return row


def one_of(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.float64)


def fit(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Coefficients of each part: what it is made of in n (least squares of relative errors)."""
    n = np.array([r["size"] for r in rows])
    radius = n / 2 - 1
    terms = {
        "load": [n**2 * np.log2(n)],
        "modes": [radius**2, radius**3],  # the cube: sums and references leave the caches
        "search": [np.ones_like(n), radius**2],
        "reference_modes": [(2 * n) ** 3 * np.log2(2 * n)],
        "add": [radius**3],
        "maps": [(2 * n) ** 3 * np.log2(2 * n)],
        "sums_bytes": [radius**3],
    }
    found = {}
    for name, columns in terms.items():
        y = np.array([r[name] for r in rows])
        a = np.stack(columns, 1) / y[:, None]
        solution = np.linalg.lstsq(a, np.ones(len(y)), rcond=None)[0]
        found[name] = np.concatenate([solution, [np.abs(a @ solution - 1).max()]])
    return found


def predict(c: dict[str, np.ndarray], o: argparse.Namespace, workers: int) -> dict[str, float]:
    """One late iteration, s, for o.particles images of o.box on so many workers of one thread, as docs/scaling.md."""
    n, p = float(o.box), float(o.particles)
    radius, transform = n / 2 - 1, (2 * n) ** 3 * math.log2(2 * n)
    chunks, run = 128, 8  # 64 of each half set, added up by eight
    volume = c["sums_bytes"][0] * radius**3
    per_image = o.modes * (c["modes"][0] * radius**2 + c["modes"][1] * radius**3)
    images = math.ceil(chunks / workers) * p / chunks * per_image
    reading = p * n**2 * 4 / min(o.filesystem, workers * o.bandwidth)
    intake = chunks / run * volume / o.bandwidth  # what the client receives
    tail = (
        run * volume / min(workers, run) / o.bandwidth + run * c["add"][0] * radius**3 / workers + volume / o.bandwidth
    )
    reference = c["reference_modes"][0] * transform * (1 if workers > 1 else 2)
    state = (2 * n**3 * 4 + p * o.modes * 330) / o.bandwidth + workers * n**3 * 4 / o.filesystem
    client = c["maps"][0] * transform
    return {
        "workers": workers, "images": images, "reading": reading, "intake": intake, "references": reference,
        "state": state, "last sums": tail, "maps": client,
        "iteration": max(images, reading, intake) + reference + state + tail + client,
        "GiB a worker": (volume * ((2 * workers + run) / workers + 1) + 4 * (2 * n) ** 3 * 1.5) / 2**30,
        "GiB sent a worker": 2 * chunks / workers * volume / 2**30,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("measure")
    one.add_argument("--size", type=int, required=True)
    one.add_argument("--count", type=int, default=64)
    one.add_argument("--json", type=Path, required=True)
    two = actions.add_parser("fit")
    two.add_argument("files", type=Path, nargs="+")
    two.add_argument("--particles", type=int, default=1_000_000)
    two.add_argument("--box", type=int, default=400)
    two.add_argument("--workers", type=int, nargs="+", default=[1, 8, 16, 32, 64, 128])
    two.add_argument("--modes", type=float, default=1.3, help="modes that an image keeps")
    two.add_argument("--bandwidth", type=float, default=1.25e9, help="network of a worker, bytes a second")
    two.add_argument("--filesystem", type=float, default=5e9, help="shared file system, bytes a second")
    o = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return_freed_memory()
    if o.action == "measure":
        measure(32, 64)  # compiled kernels are loaded
        row = measure(o.size, o.count)
        o.json.write_text(json.dumps(row, indent=1))
        print(json.dumps(row, indent=1))
        return
    rows = [json.loads(path.read_text()) for path in o.files]
    rows.sort(key=lambda r: r["size"])
    parts = ("load", "modes", "search", "reference_modes", "reference_search", "maps", "add", "sums_bytes", "save")
    print("| box | " + " | ".join(parts) + " |\n|" + "---|" * (len(parts) + 1))
    for r in rows:
        print(f"| {r['size']:.0f} | " + " | ".join(f"{r[p]:.3g}" for p in parts) + " |")
    c = fit(rows)
    for name, values in c.items():
        print(f"{name}: {' '.join(f'{v:.4g}' for v in values[:-1])} (largest relative error {values[-1]:.2f})")
    table = [predict(c, o, w) for w in o.workers]
    print("| " + " | ".join(table[0]) + " |\n|" + "---|" * len(table[0]))
    for row in table:
        print("| " + " | ".join(f"{v:.4g}" for v in row.values()) + " |")


if __name__ == "__main__":
    main()
