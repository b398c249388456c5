"""Tables of STAR files as the page draws them, without PyTorch and without what the page does not show."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from burnish.core.errors import DataError

MOST_READ = 8 << 20  # bytes of a particle file that are read; of a larger one a sample is drawn
MOST_MICROGRAPHS = 400
MOST_PARTICLES = 4000  # of one micrograph
VIEW_ROT, VIEW_TILT = 36, 18  # cells of the picture of views

FSC_COLUMNS = {
    "rlnFourierShellCorrelationCorrected": "corrected",
    "rlnFourierShellCorrelationMaskedMaps": "masked",
    "rlnFourierShellCorrelationUnmaskedMaps": "unmasked",
    "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": "phases randomised",
    "rlnGoldStandardFsc": "half maps",
}
GUINIER_COLUMNS = {
    "rlnLogAmplitudesOriginal": "original",
    "rlnLogAmplitudesMTFCorrected": "MTF corrected",
    "rlnLogAmplitudesWeighted": "FSC weighted",
    "rlnLogAmplitudesSharpened": "sharpened",
    "rlnLogAmplitudesIntercept": "intercept",
}
EMPTY = -50.0  # RELION writes −99 for the logarithm of nothing


@dataclass(frozen=True, slots=True)
class _Table:
    """A STAR file, or a sample of it: every `every`-th row of its tables."""

    blocks: gemmi.cif.Document
    every: int


def _read(path: Path, only: str = "") -> _Table:
    """A file whole, or thinned where reading all of it would take the server's memory.

    Parameters
    ----------
    only : of a large file, rows that hold this word instead of a sample.
    """
    every = math.ceil(path.stat().st_size / MOST_READ)
    if every == 1:
        return _Table(_blocks(path), 1)
    word = only.encode()
    kept: list[bytes] = []
    rows = 0
    with path.open("rb") as file:
        for line in file:
            if word and len(kept) > 2 * MOST_PARTICLES:  # more than are drawn
                break
            first = line.lstrip()[:1]
            is_row = first not in (b"", b"#", b"_") and not line.startswith((b"data_", b"loop_"))
            rows = rows + 1 if is_row else 0 if line.startswith(b"data_") else rows
            is_wanted = word in line if word else (rows - 1) % every == 0
            if not is_row or rows == 1 or is_wanted:  # a table needs a row to be one
                kept.append(line)
    try:
        text = b"".join(kept).decode("utf-8", "replace")
        return _Table(gemmi.cif.read_string(text), every)
    except (ValueError, RuntimeError) as error:
        raise DataError(f"{path.name}: not a STAR file that can be read ({' '.join(str(error).split())})") from None


def _blocks(path: Path) -> gemmi.cif.Document:
    try:
        return gemmi.cif.read(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(f"{path.name}: not a STAR file that can be read ({' '.join(str(error).split())})") from None


def _numbers(column: gemmi.cif.Column) -> np.ndarray:
    return np.array([gemmi.cif.as_number(v) for v in column], dtype=np.float64)


def fsc_curves(path: Path) -> list[dict[str, Any]]:
    """Points (s in Å⁻¹, FSC, name) of the first table of a file that has FSC columns: postprocess or model."""
    for block in _blocks(path):
        spacing = _numbers(block.find_loop("_rlnResolution"))
        found = {name: block.find_loop(f"_{tag}") for tag, name in FSC_COLUMNS.items()}
        if len(spacing) and any(len(c) for c in found.values()):
            return [
                {"s": s, "fsc": v, "name": name}
                for name, column in found.items()
                if len(column)
                for s, v in zip(spacing.tolist(), _numbers(column).tolist(), strict=True)
                if np.isfinite(v) and s > 0.0015
            ]
    return []


def guinier_points(path: Path) -> dict[str, Any]:
    """The Guinier plot and the numbers beside it."""
    document = _blocks(path)
    points, numbers = [], {}
    for block in document:
        x = _numbers(block.find_loop("_rlnResolutionSquared"))
        for tag, name in GUINIER_COLUMNS.items():
            column = block.find_loop(f"_{tag}")
            for s2, value in zip(x.tolist(), _numbers(column).tolist(), strict=False):
                if np.isfinite(value) and value > EMPTY:
                    points.append({"s2": s2, "value": value, "name": name})
        for tag, name in (
            ("rlnFinalResolution", "resolution"),
            ("rlnBfactorUsedForSharpening", "b_factor"),
            ("rlnFittedSlopeGuinierPlot", "slope"),
            ("rlnFittedInterceptGuinierPlot", "intercept"),
            ("rlnCorrelationFitGuinierPlot", "correlation"),
        ):
            value = gemmi.cif.as_number(block.find_value(f"_{tag}") or "?")
            if np.isfinite(value):
                numbers[name] = value
    return {"points": points, "numbers": numbers}


def particle_views(path: Path) -> dict[str, Any]:
    """How many particles look from where (rot × tilt), and Pmax; an empty record where angles are missing.

    `every` says how many rows of the file one of these particles stands for.
    """
    table = _read(path)
    for block in table.blocks:
        rot, tilt = (_numbers(block.find_loop(f"_rlnAngle{a}")) for a in ("Rot", "Tilt"))
        if len(rot) == 0 or len(rot) != len(tilt):
            continue
        rot = (rot + 180.0) % 360.0 - 180.0
        counts, _, _ = np.histogram2d(tilt, rot, bins=(VIEW_TILT, VIEW_ROT), range=((0, 180), (-180, 180)))
        edges = np.radians(np.linspace(0.0, 180.0, VIEW_TILT + 1))
        even = len(rot) * (np.cos(edges[:-1]) - np.cos(edges[1:])) / 2.0 / VIEW_ROT  # of views spread evenly
        p_max = _numbers(block.find_loop("_rlnMaxValueProbDistribution"))
        return {
            "particles": len(rot),
            "every": table.every,
            "counts": counts.astype(int).tolist(),
            "relative": np.round(counts / even[:, None], 3).tolist(),
            "p_max": np.histogram(p_max, bins=20, range=(0, 1))[0].tolist() if len(p_max) else [],
        }
    return {}


def micrographs(path: Path) -> list[dict[str, Any]]:
    """Micrographs of a particle file, the number of their particles (of a large file about) and mean defocus, Å."""
    table = _read(path)
    for block in table.blocks:
        names, defocus = block.find_loop("_rlnMicrographName"), _mean_defocus(block)
        if len(names) == 0 or len(defocus) != len(names):
            continue
        listed = list(names)
        total: Counter[str] = Counter()
        for name, d in zip(listed, defocus.tolist(), strict=True):
            total[name] += d
        counts = Counter(listed)
        return [
            {"name": gemmi.cif.as_string(n), "particles": c * table.every, "defocus": total[n] / c}
            for n, c in counts.most_common(MOST_MICROGRAPHS)
        ]
    return []


def micrograph_particles(path: Path, micrograph: str) -> list[dict[str, float]]:
    """Position, px, and defocus, Å, of the particles of one micrograph."""
    for block in _read(path, micrograph).blocks:
        names, defocus = block.find_loop("_rlnMicrographName"), _mean_defocus(block)
        x, y = (_numbers(block.find_loop(f"_rlnCoordinate{a}")) for a in "XY")
        if not len(names) or not len(x) == len(y) == len(defocus) == len(names):
            continue
        rows = [k for k, name in enumerate(names) if gemmi.cif.as_string(name) == micrograph][:MOST_PARTICLES]
        return [{"x": float(x[k]), "y": float(y[k]), "defocus": float(defocus[k])} for k in rows]
    return []


def _mean_defocus(block: gemmi.cif.Block) -> np.ndarray:
    u, v = (_numbers(block.find_loop(f"_rlnDefocus{a}")) for a in "UV")
    return 0.5 * (u + v) if len(u) == len(v) else np.zeros(0)
