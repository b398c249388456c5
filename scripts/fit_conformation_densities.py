"""Fit the smooth densities of backbone and side-chain torsions that Burnish ships to the Top8000 reference tables.

Usage: fit_conformation_densities.py REFERENCE_FOLDER OUT.json [NAME ... | --calibrate | --mend]

REFERENCE_FOLDER holds `ramachandran/rama8000-*.data`, `rotamers/contours/rota8000-*.data` and `rotamers/centres/*.csv`
of https://github.com/rlabduke/reference_data (Top8000, Richardson laboratory, CC BY 4.0). Given names are fitted again
and the others kept. What is fitted: mixtures of coupled von Mises densities (see `burnish.chemistry.angle_density`),
by least squares on the log-density, with most weight at the levels where verdicts change; then, for the levels alone, a
short Fourier series that takes up what the mixture lacks near those levels (`--mend` fits only this).

The tables give, in each cell, the fraction v of the reference residues that lie in cells of lower density. Sorted by v,
the mass of a cell is the step of v to the next one, so that the density follows from the table itself.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.chemistry.angle_density import AngleDensity, from_record, harmonics_within, levels

RAMACHANDRAN = {
    "general": ("rama8000-general-noGPIVpreP", 56, (0.0005, 0.02)),
    "ile_val": ("rama8000-ileval-nopreP", 48, (0.001, 0.02)),
    "pre_proline": ("rama8000-prepro-noGP", 44, (0.001, 0.02)),
    "glycine": ("rama8000-gly-sym", 32, (0.001, 0.02)),
    "trans_proline": ("rama8000-transpro", 24, (0.001, 0.02)),
    "cis_proline": ("rama8000-cispro", 20, (0.002, 0.02)),
}
ROTAMERS = {  # table and number of components
    "ASN": ("asn", 60), "ASP": ("asp", 48), "CYS": ("cys", 20), "GLN": ("gln", 80), "GLU": ("glu", 80),
    "HIS": ("his", 60), "ILE": ("ile", 48), "LEU": ("leu", 48), "MET": ("met", 80), "PHE": ("phetyr", 40),
    "PRO": ("pro", 20), "SER": ("ser", 20), "THR": ("thr", 20), "TRP": ("trp", 60), "TYR": ("phetyr", 40),
    "VAL": ("val", 20),
}  # fmt: skip
FROM_CENTRES = ("ARG", "LYS")  # four angles: no table, only means and spreads
LEVELS = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Table:
    """Cells of a reference table; angles in rad."""

    angles: Tensor  # (cells, d)
    level: Tensor  # (cells,), 0 where the table lists nothing
    fold: tuple[int, ...]
    cell: float  # volume, rad^d


def read_table(path: Path) -> Table:
    """Read a contour table onto its full grid."""
    axes, rows = [], []
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            if line.startswith("#   x"):
                low, high, bins = line.split(":")[1].split()[:3]
                axes.append((float(low), float(high), int(bins)))
        else:
            rows.append([float(x) for x in line.split()])
    shape = [n for _, _, n in axes]
    grid = np.zeros(shape)
    listed = np.array(rows)
    index = tuple(
        np.floor((listed[:, k] - low) / (high - low) * n).astype(int) % n for k, (low, high, n) in enumerate(axes)
    )
    grid[index] = listed[:, -1]
    centres = [low + (np.arange(n) + 0.5) * (high - low) / n for low, high, n in axes]
    mesh = np.stack(np.meshgrid(*centres, indexing="ij"), -1).reshape(-1, len(axes))
    fold = tuple(round(360.0 / (high - low)) for low, high, _ in axes)
    cell = math.prod(math.radians((high - low) / n) * f for (low, high, n), f in zip(axes, fold, strict=True))
    return Table(torch.tensor(np.radians(mesh)), torch.tensor(grid.reshape(-1)), fold, cell)


def density_curve(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Knots of log-density against log level: p = −dv / dN over the number N(v) of cells above v, smoothed in log v."""
    level = np.sort(table.level[table.level > 0].numpy())[::-1]
    edges = np.exp(np.arange(0.0, math.log(level[-1]), -0.5))
    count = np.maximum(np.searchsorted(-level, -edges, side="right"), 1)
    x = np.log(edges)
    middle = 0.5 * (x[1:] + x[:-1])
    cells = np.maximum(count[1:] - count[:-1], 0.25)
    log_p = np.log((edges[:-1] - edges[1:]) / (cells * table.cell))
    # a monotone curve: straight lines through a running mean, steep enough to be invertible
    smooth = np.convolve(np.pad(log_p, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    smooth = np.minimum.accumulate(smooth - 1e-3 * np.arange(len(smooth)))
    return middle[::-1], smooth[::-1]


def log_density_of(table: Table) -> Tensor:
    """Log-density of the cells that the table lists; −inf elsewhere."""
    x, y = density_curve(table)
    level = table.level.numpy()
    out = np.full(level.shape, -np.inf)
    listed = level > 0
    log_v = np.log(level[listed])
    slope = (y[-1] - y[-2]) / (x[-1] - x[-2])
    out[listed] = np.interp(log_v, x, y) + np.maximum(log_v - x[-1], 0.0) * slope
    return torch.tensor(out)


def mixture(params: dict[str, Tensor], angles: Tensor, fold: Tensor) -> Tensor:
    """Unnormalised log of the mixture."""
    delta = (angles[:, None, :] - params["mean"]) * fold
    kappa = params["log_kappa"].exp()
    exponent = params["log_weight"] + ((delta.cos() - 1.0) * kappa).sum(-1)
    sine = delta.sin()
    pairs = [(a, b) for a in range(len(fold)) for b in range(a + 1, len(fold))]
    for k, (a, b) in enumerate(pairs):
        coupling = params["rho"][:, k].tanh() * (kappa[:, a] * kappa[:, b]).sqrt()
        exponent = exponent + coupling * sine[..., a] * sine[..., b]
    return exponent.logsumexp(-1)


def mirrored(params: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mixture with its image under inversion of all angles: glycine has no handedness."""
    twice = {k: torch.cat([v, v]) for k, v in params.items()}
    twice["mean"] = torch.cat([params["mean"], -params["mean"]])
    return twice


def start(table: Table, target: Tensor, components: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Half of the centres drawn by mass, half among the cells near the verdicts' levels."""
    mass = torch.where(table.level > 0, target.exp(), 0.0)
    edge = torch.where((table.level > 5e-4) & (table.level < 0.2), 1.0, 0.0)
    n_mass = (components + 1) // 2
    chosen = torch.cat(
        [
            torch.multinomial(mass, n_mass, generator=generator),
            torch.multinomial(edge, components - n_mass, generator=generator),
        ]
    )
    d = table.angles.shape[1]
    return {
        "mean": table.angles[chosen].clone(),
        "log_kappa": torch.full((components, d), math.log(12.0), dtype=torch.float64),
        "rho": torch.zeros(components, d * (d - 1) // 2, dtype=torch.float64),
        "log_weight": target[chosen].clamp(min=-8.0) - 0.5,
    }


def residual_rows(params: dict[str, Tensor], angles: Tensor, fold: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the mixture and its derivatives by every parameter, in the order of `pack`. (n,), (n, parameters)"""
    delta = (angles[:, None, :] - params["mean"]) * fold
    kappa, cosine, sine = params["log_kappa"].exp(), delta.cos(), delta.sin()
    d = len(fold)
    pairs = [(a, b) for a in range(d) for b in range(a + 1, d)]
    exponent = params["log_weight"] + ((cosine - 1.0) * kappa).sum(-1)
    by_mean, by_kappa = kappa * sine * fold, kappa * (cosine - 1.0)
    by_rho = []
    for k, (a, b) in enumerate(pairs):
        root, bounded = (kappa[:, a] * kappa[:, b]).sqrt(), params["rho"][:, k].tanh()
        product = sine[..., a] * sine[..., b]
        exponent = exponent + root * bounded * product
        by_mean[..., a] -= root * bounded * cosine[..., a] * sine[..., b] * fold[a]
        by_mean[..., b] -= root * bounded * sine[..., a] * cosine[..., b] * fold[b]
        by_kappa[..., a] += 0.5 * root * bounded * product
        by_kappa[..., b] += 0.5 * root * bounded * product
        by_rho.append(root * (1.0 - bounded.square()) * product)
    total = exponent.logsumexp(-1)
    share = (exponent - total[:, None]).exp()[..., None]
    rows = torch.cat([by_mean, by_kappa, *[r[..., None] for r in by_rho], torch.ones_like(exponent)[..., None]], -1)
    return total, (rows * share).flatten(1)


def pack(params: dict[str, Tensor]) -> Tensor:
    """All parameters as one vector, component by component."""
    return torch.cat([params["mean"], params["log_kappa"], params["rho"], params["log_weight"][:, None]], 1).flatten()


def unpack(vector: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `pack`, with the widths kept in bounds."""
    k, d = like["mean"].shape
    m, c, r, w = vector.view(k, -1).split([d, d, like["rho"].shape[1], 1], 1)
    return {
        "mean": m,
        "log_kappa": c.clamp(math.log(0.05), math.log(600.0)),
        "rho": r.clamp(-3.0, 3.0),
        "log_weight": w[:, 0],
    }


def fit(
    table: Table,
    components: int,
    thresholds: tuple[float, ...],
    *,
    symmetric: bool = False,
    seed: int = 0,
    iterations: int = 60,
) -> tuple[dict[str, Tensor], float]:
    """Fit one mixture by Levenberg–Marquardt; return parameters and the weighted rms error of the log-density."""
    generator = torch.Generator().manual_seed(seed)
    target = log_density_of(table)
    log_v = table.level.clamp(min=1e-9).log()
    lowest = math.log(min(thresholds)) - 2.0  # below it only that the density is low matters
    listed = log_v > lowest
    weight = torch.full_like(log_v, 0.1) + 0.3 * table.level.sqrt()
    for threshold in thresholds:
        weight = weight + 1.0 / (1.0 + ((log_v - math.log(threshold)) / 0.4).square())
    floor = target[listed].min()
    empty = torch.nonzero(~listed)[:, 0]
    if len(empty) > 12000:
        empty = empty[torch.randperm(len(empty), generator=generator)[:12000]]
    keep = torch.cat([torch.nonzero(listed)[:, 0], empty])
    angles, is_listed = table.angles[keep], listed[keep]
    if symmetric:
        half = angles[:, 0] <= 0.0
        keep, angles, is_listed = keep[half], angles[half], is_listed[half]
    wanted, w = torch.where(is_listed, target[keep], floor), torch.where(is_listed, weight[keep], 0.3)
    root_w = (w / w.sum()).sqrt()
    fold = torch.tensor(table.fold, dtype=torch.float64)
    params = start(table, target, components, generator)
    prior = 1e-3 / math.sqrt(components)

    def evaluate(p: dict[str, Tensor]) -> tuple[Tensor, Tensor, float]:
        normal = torch.zeros(pack(p).numel(), pack(p).numel(), dtype=torch.float64)
        right, loss = torch.zeros(len(normal), dtype=torch.float64), 0.0
        for part in torch.arange(len(angles)).split(4000):
            if symmetric:
                a, rows_a = residual_rows(p, angles[part], fold)
                b, rows_b = residual_rows(p, -angles[part], fold)
                total = torch.logaddexp(a, b)
                rows = rows_a * (a - total).exp()[:, None] + rows_b * (b - total).exp()[:, None]
            else:
                total, rows = residual_rows(p, angles[part], fold)
            error = total - wanted[part]
            active = is_listed[part] | (error > 0)
            error = torch.where(active, error, 0.0) * root_w[part]
            rows = rows * (root_w[part] * active)[:, None]
            normal += rows.T @ rows
            right -= rows.T @ error
            loss += float(error.square().sum())
        offset = pack({**{k: torch.zeros_like(v) for k, v in p.items()}, "log_kappa": p["log_kappa"] - math.log(12.0)})
        is_kappa = pack({k: torch.full_like(v, float(k == "log_kappa")) for k, v in p.items()})
        normal += torch.diag(is_kappa) * prior**2
        right -= offset * prior**2
        return normal, right, loss + float((offset * prior).square().sum())

    damping, (normal, right, loss) = 1e-2, evaluate(params)
    for _ in range(iterations):
        diagonal = normal.diagonal() + 1e-7
        step = torch.linalg.solve(normal + torch.diag(damping * diagonal + 1e-9), right)
        trial = unpack(pack(params) + step.clamp(-0.7, 0.7), params)
        new = evaluate(trial)
        if new[2] < loss:
            gain = 1.0 - new[2] / loss
            params, (normal, right, loss) = trial, new
            damping = max(damping / 3.0, 1e-7)
            if gain < 1e-4:
                break
        else:
            damping *= 5.0
            if damping > 1e6:
                break
    return (mirrored(params) if symmetric else params), math.sqrt(loss)


def calibrate(table: Table, params: dict[str, Tensor]) -> tuple[list[float], list[float], float]:
    """Knots of log level against log-density, and the log normaliser of the mixture over the full circle."""
    fold = torch.tensor(table.fold, dtype=torch.float64)
    log_p = torch.cat([mixture(params, part, fold) for part in table.angles.split(20000)])
    log_z = float((log_p.exp().sum() * table.cell).log())
    log_p = log_p - log_z
    order = torch.argsort(log_p, descending=True)
    sorted_p, sorted_v = log_p[order].numpy(), table.level[order].numpy()
    cost = log_density_of(table).exp()[order].numpy() * table.cell
    cost = cost / cost.sum() + 0.1 / len(cost) * np.exp(-np.abs(np.log(np.maximum(sorted_v, 1e-9) / 0.005)) / 2)
    knots = []
    log_v = np.log(np.maximum(sorted_v, 1e-12))
    for level in LEVELS:
        near = np.abs(log_v - math.log(level)) < 0.4
        if near.sum() >= 6:  # where the table is smooth, the density of the level on a straight line
            fitted = np.polynomial.Polynomial.fit(log_v[near] - math.log(level), sorted_p[near], 1)
            if float(np.std(sorted_p[near] - fitted(log_v[near] - math.log(level)))) < 0.12:
                knots.append((float(fitted(0.0)), math.log(level)))
                continue
        # elsewhere the density whose contour differs least from the table's, by mass and a little by area
        above = sorted_v >= level
        differing = np.cumsum(np.where(above, 0.0, cost)) + cost[above].sum() - np.cumsum(np.where(above, cost, 0.0))
        best = int(differing.argmin())
        knots.append((float(sorted_p[best : best + 2].mean()), math.log(level)))
    knots = [k for i, k in enumerate(knots) if all(k[0] > other[0] + 1e-3 for other in knots[:i])]
    low_x, low_y = knots[0]
    knots.insert(0, (low_x - 8.0, low_y - 8.0))
    return [k[0] for k in knots], [k[1] for k in knots], log_z


def verdict_errors(
    table: Table,
    params: dict[str, Tensor],
    knots: tuple[list[float], list[float]],
    log_z: float,
    thresholds: tuple[float, ...],
) -> list[tuple[float, float]]:
    """Fractions of the reference residues, and of the cells, whose verdict differs at each threshold."""
    fold = torch.tensor(table.fold, dtype=torch.float64)
    log_p = torch.cat([mixture(params, part, fold) for part in table.angles.split(20000)]) - log_z
    level = np.exp(np.interp(log_p.numpy(), *knots))
    mass = log_density_of(table).exp().numpy()
    mass = mass / mass.sum()
    out = []
    for threshold in thresholds:
        differs = (level >= threshold) != (table.level.numpy() >= threshold)
        out.append((float(mass[differs].sum()), float(differs.mean())))
    return out


def record(
    params: dict[str, Tensor], fold: tuple[int, ...], knots: tuple[list[float], list[float]], log_z: float
) -> dict:
    """What is stored: angles in degrees, coupling as the coefficient of the sine product."""
    kappa = params["log_kappa"].exp()
    d = len(fold)
    pairs = [(a, b) for a in range(d) for b in range(a + 1, d)]
    coupling = (
        torch.stack(
            [params["rho"][:, k].tanh() * (kappa[:, a] * kappa[:, b]).sqrt() for k, (a, b) in enumerate(pairs)], -1
        )
        if pairs
        else torch.zeros(len(kappa), 0)
    )
    period = 360.0 / torch.tensor(fold, dtype=torch.float64)
    mean = torch.remainder(torch.rad2deg(params["mean"]), period)
    log_weight = params["log_weight"] - log_z

    def rows(x: Tensor, digits: int) -> list:
        return np.round(x.numpy(), digits).tolist()

    return {
        "fold": list(fold),
        "mean_deg": rows(mean, 2),
        "kappa": rows(kappa, 3),
        "coupling": rows(coupling, 3),
        "log_weight": rows(log_weight, 4),
        "log_density_knots": [round(k, 4) for k in knots[0]],
        "log_level_knots": [round(k, 4) for k in knots[1]],
    }


def read_centres(path: Path) -> list[dict]:
    """Rotamers of one residue type: name, frequency, mean χ and their spreads, degrees."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    chis = [c for c in ("chi1", "chi2", "chi3", "chi4") if f"{c}_mean" in rows[0]]
    return [
        {
            "name": r["rotamer"],
            "frequency": float(r["frequency%"]) / 100.0,
            "chi_deg": [float(r[f"{c}_mean"]) for c in chis],
            "esd_deg": [float(r[f"{c}_esd"]) for c in chis],
        }
        for r in rows
        if r["chi1_mean"] not in ("", None)
    ]


def from_centres(rotamers: list[dict], seed: int) -> dict:
    """Independent von Mises angles about each listed rotamer; the level by sampling."""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.tensor([r["frequency"] for r in rotamers], dtype=torch.float64).clamp(min=2e-5)
    mean = torch.deg2rad(torch.tensor([r["chi_deg"] for r in rotamers], dtype=torch.float64))
    esd = torch.deg2rad(torch.tensor([r["esd_deg"] for r in rotamers], dtype=torch.float64).clamp(min=7.0) * 1.1)
    kappa = 1.0 / esd.square()
    log_i0 = torch.special.i0e(kappa).log()  # of exp(−κ) I0(κ): the exponent has cos − 1
    log_weight = (frequency / frequency.sum()).log() - (log_i0 + math.log(2 * math.pi)).sum(-1)
    params = {
        "mean": mean,
        "log_kappa": kappa.log(),
        "rho": torch.zeros(len(mean), 6, dtype=torch.float64),
        "log_weight": log_weight,
    }
    n = 100_000
    which = torch.multinomial(frequency, n, replacement=True, generator=generator)
    # tails broader than Gaussian, as real χ distributions have them (Student's t, 6 degrees of freedom)
    chi2 = torch.randn(n, 6, generator=generator, dtype=torch.float64).square().sum(-1) / 6
    noise = torch.randn(n, mean.shape[1], generator=generator, dtype=torch.float64) * esd[which] / 1.1
    angles = mean[which] + noise / chi2.sqrt()[:, None]
    fold = torch.ones(mean.shape[1], dtype=torch.float64)
    log_p = torch.cat([mixture(params, part, fold) for part in angles.split(5000)]).sort().values
    knots_x, knots_y = [], []
    for level in LEVELS:
        knots_x.append(float(log_p[min(n - 1, round(level * n))]))
        knots_y.append(math.log(level))
    knots_x.insert(0, knots_x[0] - 8.0)
    knots_y.insert(0, knots_y[0] - 8.0)
    return record(params, (1,) * mean.shape[1], (knots_x, knots_y), 0.0)


def best_fit(table: Table, components: int, thresholds: tuple[float, ...], *, symmetric: bool) -> tuple[dict, str]:
    """The best of a few starts."""
    runs = [fit(table, components, thresholds, symmetric=symmetric, seed=s) for s in range(1 if components > 60 else 2)]
    params, rms = min(runs, key=lambda r: r[1])
    x, y, log_z = calibrate(table, params)
    errors = verdict_errors(table, params, (x, y), log_z, thresholds)
    said = ", ".join(
        f"{t:g}: {100 * m:.3f} % of mass, {100 * c:.2f} % of cells"
        for t, (m, c) in zip(thresholds, errors, strict=True)
    )
    return record(params, table.fold, (x, y), log_z), f"rms {rms:.3f}; verdicts differ at {said}"


def stored(entry: dict) -> dict[str, Tensor]:
    """Parameters of the mixture from what was stored."""
    kappa = torch.tensor(entry["kappa"], dtype=torch.float64)
    d = kappa.shape[1]
    pairs = [(a, b) for a in range(d) for b in range(a + 1, d)]
    coupling = torch.tensor(entry["coupling"], dtype=torch.float64).reshape(len(kappa), len(pairs))
    root = (
        torch.stack([(kappa[:, a] * kappa[:, b]).sqrt() for a, b in pairs], -1) if pairs else torch.ones_like(coupling)
    )
    return {
        "mean": torch.deg2rad(torch.tensor(entry["mean_deg"], dtype=torch.float64)),
        "log_kappa": kappa.clamp(min=1e-3).log(),
        "rho": (coupling / root).clamp(-0.99999, 0.99999).atanh(),
        "log_weight": torch.tensor(entry["log_weight"], dtype=torch.float64),
    }


def calibrate_again(folder: Path, result: dict) -> None:
    """Only the levels, from mixtures that were fitted before."""
    tables = {("ramachandran", k): folder / "ramachandran" / f"{v[0]}.data" for k, v in RAMACHANDRAN.items()}
    tables |= {("rotamers", k): folder / "rotamers" / "contours" / f"rota8000-{v[0]}.data" for k, v in ROTAMERS.items()}
    for (kind, name), path in tables.items():
        table, entry = read_table(path), result[kind][name]
        params = stored(entry)
        x, y, log_z = calibrate(table, params)
        thresholds = RAMACHANDRAN[name][2] if kind == "ramachandran" else (0.003, 0.02)
        print(name, verdict_errors(table, params, (x, y), log_z, thresholds), flush=True)
        entry["log_density_knots"] = [round(k + 0.0, 4) for k in x]
        entry["log_level_knots"] = [round(k, 4) for k in y]


RADII = {1: 24, 2: 14, 3: 6}  # of the harmonics, by the number of angles
RIDGE = 1e-4  # on the square of the harmonics: the series is smooth where the table says nothing
CLEARANCE = 0.9  # how far, in log level, cells that the table does not list are kept below the lowest verdict


def mend_levels(table: Table, entry: dict, thresholds: tuple[float, ...]) -> str:
    """Fit the Fourier series of `level_mend` to the table and put it into the entry; say what it changes."""
    entry.pop("level_terms", None)
    density = from_record(entry)
    d = table.angles.shape[1]
    density = replace(density, harmonics=harmonics_within(d, RADII[d]))
    mixed = torch.cat([levels(density, part) for part in table.angles.split(20000)]).clamp(min=1e-12).log()
    wanted = table.level.clamp(min=1e-9).log()
    logs = [math.log(t) for t in thresholds]
    weight = 0.02 + sum((1.0 + ((wanted - t) / 0.35).square()).square().reciprocal() for t in logs)
    listed = wanted > min(logs) - 1.0
    missing = torch.where(listed, (wanted - mixed).clamp(-1.5, 1.5), 0.0)
    squares = density.harmonics.square().sum(1)
    ridge = torch.cat([torch.zeros(1), squares, squares]).double()
    size = len(ridge)
    mend = torch.zeros_like(mixed)
    for _ in range(4):  # which unlisted cells come too high is found by turns
        high = ~listed & (mixed + mend > min(logs) - 0.7)
        w = torch.where(listed, weight, torch.where(high, 0.5, 0.02)).double()
        target = torch.where(high, (min(logs) - CLEARANCE - mixed).clamp(max=0.0), missing)
        normal, right = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        for part in torch.arange(len(mixed)).split(4000):
            rows = fourier_rows(density, table.angles[part])
            normal += (rows * w[part, None]).T @ rows
            right += (rows * w[part, None]).T @ target[part]
        scale = float(normal.diagonal().mean())
        terms = torch.linalg.solve(normal + torch.diag((RIDGE * ridge + 1e-6) * scale), right)
        mend = torch.cat([fourier_rows(density, part) @ terms for part in table.angles.split(4000)])
    mass = log_density_of(table).exp()
    mass = mass / mass.sum()
    said, gain = [], 0.0
    for t in logs:
        before, after = (float(mass[(x >= t) != (wanted >= t)].sum()) for x in (mixed, mixed + mend))
        said.append(f"{math.exp(t):g}: {100 * before:.3f} → {100 * after:.3f} %")
        gain += before - after
    if gain > 0.0:  # small tables (cis proline) hold noise that a series cannot follow
        entry["level_radius"] = RADII[d]
        entry["level_terms"] = [round(x, 4) for x in terms.tolist()]
    return f"{size} terms; mass with another verdict at {', '.join(said)}"


def fourier_rows(density: AngleDensity, angles: Tensor) -> Tensor:
    """1, cosines and sines of the harmonics. (n, 2m + 1)"""
    phase = (angles * density.fold) @ density.harmonics.T
    return torch.cat([torch.ones(len(angles), 1, dtype=phase.dtype), phase.cos(), phase.sin()], 1)


def mend_all(folder: Path, result: dict) -> None:
    """The series of every table, from mixtures that were fitted before."""
    for name, (file, _, thresholds) in RAMACHANDRAN.items():
        table = read_table(folder / "ramachandran" / f"{file}.data")
        print(name, mend_levels(table, result["ramachandran"][name], thresholds), flush=True)
    for name, (file, _) in ROTAMERS.items():
        table = read_table(folder / "rotamers" / "contours" / f"rota8000-{file}.data")
        print(name, mend_levels(table, result["rotamers"][name], (0.003, 0.02)), flush=True)


def main() -> None:
    """Fit what is asked for and write the parameters."""
    torch.set_num_threads(1)
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    asked = set(sys.argv[3:])
    if asked in ({"--calibrate"}, {"--mend"}):
        result = json.loads(out.read_text())
        (mend_all if "--mend" in asked else calibrate_again)(folder, result)
        out.write_text(json.dumps(result, separators=(",", ":")) + "\n")
        return
    result = json.loads(out.read_text()) if out.exists() else {"source": "", "ramachandran": {}, "rotamers": {}}
    result["source"] = (
        "Fitted by scripts/fit_conformation_densities.py to the Top8000 tables of "
        "github.com/rlabduke/reference_data (Richardson laboratory, Duke University), CC BY 4.0."
    )
    for name, (file, components, thresholds) in RAMACHANDRAN.items():
        if asked and name not in asked:
            continue
        table = read_table(folder / "ramachandran" / f"{file}.data")
        entry, said = best_fit(table, components, thresholds, symmetric=name == "glycine")
        said += "; " + mend_levels(table, entry, thresholds)
        result["ramachandran"][name] = entry
        print(name, said, flush=True)
        out.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    for name in (*ROTAMERS, *FROM_CENTRES):
        if asked and name not in asked:
            continue
        rotamers = read_centres(folder / "rotamers" / "centres" / f"{name}.csv")
        if name in FROM_CENTRES:
            entry, said = from_centres(rotamers, seed=0), "from centres"
        else:
            file, components = ROTAMERS[name]
            table = read_table(folder / "rotamers" / "contours" / f"rota8000-{file}.data")
            entry, said = best_fit(table, components, (0.003, 0.02), symmetric=False)
            said += "; " + mend_levels(table, entry, (0.003, 0.02))
        entry["rotamers"] = rotamers
        result["rotamers"][name] = entry
        print(name, said, flush=True)
        out.write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
