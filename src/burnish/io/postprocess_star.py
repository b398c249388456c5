"""`postprocess.star` with RELION's tables, FSC in the EMDB's XML, MTF curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.fourier.shells import resolution_of_shell
from burnish.io.atomic import write_text
from burnish.io.star import StarTable, make_table, read_star, write_star
from burnish.maps.postprocess import PostprocessResult
from burnish.maps.sharpening import EMPTY
from burnish.optics.detector import Mtf

_CORRECTED = "rlnFourierShellCorrelationCorrected"
_UNMASKED = "rlnFourierShellCorrelationUnmaskedMaps"
_MASKED = "rlnFourierShellCorrelationMaskedMaps"
_RANDOMISED = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
_PART = "rlnFourierShellCorrelationParticleMaskFraction"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostprocessFile:
    """What a `postprocess.star` says, of Burnish or RELION.

    Attributes
    ----------
    half1, half2, mask : names as in the file; None where it names none.
    resolution : final, Å.
    b_factor : applied, Å²; None where the map was not sharpened.
    spacing : resolution s of each shell, Å⁻¹; shell 0 is 0. (shells,)
    fsc : corrected, or unmasked where nothing else is there. (shells,)
    """

    half1: str | None
    half2: str | None
    mask: str | None
    resolution: float
    b_factor: float | None
    spacing: Tensor
    fsc: Tensor


def read_postprocess(path: Path) -> PostprocessFile:
    """Read a `postprocess.star` of RELION 3.0 to 5 or of Burnish."""
    star = read_star(path)
    general, table = star["general"], star["fsc"]

    def named(column: str) -> str | None:
        return general.value(column) if column in general else None

    spacing = table.floats("rlnResolution")
    spacing[table.ints("rlnSpectralIndex") == 0] = 0.0  # RELION writes 1/999
    b_factor = named("rlnBfactorUsedForSharpening")
    return PostprocessFile(
        half1=named("rlnUnfilteredMapHalf1"),
        half2=named("rlnUnfilteredMapHalf2"),
        mask=named("rlnMaskName"),
        resolution=float(general.floats("rlnFinalResolution")[0]),
        b_factor=float(b_factor) if b_factor is not None else None,
        spacing=torch.from_numpy(spacing),
        fsc=torch.from_numpy(table.floats(_CORRECTED if _CORRECTED in table else _UNMASKED)),
    )


def write_postprocess(
    path: Path, result: PostprocessResult, *, half1: Path, half2: Path, mask: Path | None, command: str = ""
) -> None:
    """Write the tables general, fsc and guinier with RELION's columns."""
    general: dict[str, object] = {
        "rlnFinalResolution": result.resolution.at_shell,
        "rlnBfactorUsedForSharpening": result.guinier.b_factor,
        "rlnUnfilteredMapHalf1": str(half1),
        "rlnUnfilteredMapHalf2": str(half2),
        "rlnPostprocessedMap": str(path.with_name("postprocess.mrc")),
    }
    curves = result.curves
    if curves is not None and mask is not None:
        general["rlnParticleBoxFractionSolventMask"] = curves.solvent_factor
        general["rlnMaskName"] = str(mask)
        if curves.randomise_from < len(curves.unmasked):
            general["rlnRandomiseFrom"] = resolution_of_shell(curves.randomise_from, result.box_length)
        general["rlnPostprocessedMapMasked"] = str(path.with_name("postprocess_masked.mrc"))
    if result.guinier.fit is not None:
        general["rlnFittedSlopeGuinierPlot"] = result.guinier.fit.slope
        general["rlnFittedInterceptGuinierPlot"] = result.guinier.fit.intercept
        general["rlnCorrelationFitGuinierPlot"] = result.guinier.fit.correlation**2  # RELION's is the square
    tables = [
        make_table("general", {k: [v] for k, v in general.items()}, is_loop=False),
        fsc_table(result),
        guinier_table(result),
    ]
    write_star(path, tables, comments=[c for c in ("Burnish postprocess", command) if c])


def fsc_table(result: PostprocessResult) -> StarTable:
    """Return RELION's table `fsc`."""
    shells = np.arange(len(result.final))
    angstrom = [999.0 if i == 0 else resolution_of_shell(int(i), result.box_length) for i in shells]
    columns: dict[str, list[float] | list[int]] = {
        "rlnSpectralIndex": shells.tolist(),
        "rlnResolution": [1.0 / a for a in angstrom],
        "rlnAngstromResolution": angstrom,
        _CORRECTED: result.final.tolist(),
    }
    curves = result.curves
    if curves is None:
        columns[_UNMASKED] = result.final.tolist()
    else:
        columns[_PART] = curves.part.tolist()
        columns[_UNMASKED] = curves.unmasked.tolist()
        columns[_MASKED] = curves.masked.tolist()
        columns[_RANDOMISED] = curves.randomised.tolist()
    return make_table("fsc", columns)


def guinier_table(result: PostprocessResult) -> StarTable:
    """Return RELION's table `guinier`."""
    g = result.guinier
    columns = {"rlnResolutionSquared": g.s2.tolist(), "rlnLogAmplitudesOriginal": g.original.tolist()}
    if g.without_mtf is not g.original:
        columns["rlnLogAmplitudesMTFCorrected"] = g.without_mtf.tolist()
    if g.weighted is not g.without_mtf:
        columns["rlnLogAmplitudesWeighted"] = g.weighted.tolist()
    columns["rlnLogAmplitudesSharpened"] = g.sharpened.tolist()
    if g.fit is not None:
        columns["rlnLogAmplitudesIntercept"] = [g.fit.intercept] * len(g.s2)
    return make_table("guinier", columns)


def write_fsc_xml(path: Path, result: PostprocessResult) -> None:
    """Write the corrected FSC in the XML that the EMDB takes with a deposition."""
    curve = result.final.tolist()
    write_fsc_curve(path, [k / result.box_length for k in range(len(curve))], curve, "Burnish masked-corrected FSC")


def write_fsc_curve(path: Path, spacing: Sequence[float], fsc: Sequence[float], title: str) -> None:
    """Write an FSC curve by s, Å⁻¹, in the EMDB's XML."""
    root = ElementTree.Element("fsc", title=title, xaxis="Resolution (A-1)", yaxis="Correlation Coefficient")
    for s, value in zip(spacing, fsc, strict=True):
        point = ElementTree.SubElement(root, "coordinate")
        ElementTree.SubElement(point, "x").text = f"{s:.6f}"
        ElementTree.SubElement(point, "y").text = f"{value:.6f}"
    ElementTree.indent(root)
    write_text(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n")


def read_fsc_xml(path: Path) -> tuple[Tensor, Tensor]:
    """Read an FSC of the EMDB's XML: s in Å⁻¹ and FSC, float64."""
    try:
        root = ElementTree.parse(path).getroot()
        points = [(float(c.findtext("x", "")), float(c.findtext("y", ""))) for c in root.iter("coordinate")]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path}: no FSC in the EMDB's XML ({error})") from None
    if not points:
        raise DataError(f"{path}: no <coordinate> in it; expected an FSC in the EMDB's XML")
    x, y = torch.tensor(points, dtype=torch.float64).T
    return x, y


def read_mtf(path: Path) -> Mtf:
    """Read the MTF of a detector: a STAR table of rlnResolutionInversePixel and rlnMtfValue."""
    star = read_star(path)
    table = next((t for t in star if "rlnMtfValue" in t), next(iter(star)))
    frequency, value = table.floats("rlnResolutionInversePixel"), table.floats("rlnMtfValue")
    if len(frequency) < 2:
        raise DataError(f"{table.place()}: {len(frequency)} points; an MTF needs two at least")
    wrong = np.flatnonzero(value <= 1e-10)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{table.place(row)}: rlnMtfValue is {value[row]:g}; a map cannot be divided by zero or less")
    falls = np.flatnonzero(np.diff(frequency) <= 0)
    if len(falls):
        raise DataError(f"{table.place(int(falls[0]) + 1)}: rlnResolutionInversePixel does not rise")
    return Mtf(torch.from_numpy(frequency), torch.from_numpy(value))


def finite(values: Tensor) -> Tensor:
    """Which Guinier points hold amplitudes."""
    return values > EMPTY
