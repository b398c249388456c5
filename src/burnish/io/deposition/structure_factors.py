"""Structure factors as the PDB wants them: measured data, free flags, Fcalc and map coefficients in one mmCIF block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from burnish import __version__
from burnish.core.errors import DataError
from burnish.io.atomic import write_aside
from burnish.io.reflections import DiffractionData

FloatArray = NDArray[np.float64]
MEASURED = {
    "F": ("F_meas_au", "F_meas_sigma_au"),
    "I": ("intensity_meas", "intensity_sigma"),
    "F±": ("pdbx_F_plus", "pdbx_F_plus_sigma", "pdbx_F_minus", "pdbx_F_minus_sigma"),
    "I±": ("pdbx_I_plus", "pdbx_I_plus_sigma", "pdbx_I_minus", "pdbx_I_minus_sigma"),
}
# what the refinement wrote (CCP4's and phenix' names), and its items
CALCULATED = (
    (("FC_ALL",), "F_calc_au"), (("PHIC_ALL",), "phase_calc"), (("FOM",), "fom"),
    (("FWT", "2FOFCWT"), "pdbx_FWT"), (("PHWT", "PH2FOFCWT"), "pdbx_PHWT"),
    (("DELFWT", "FOFCWT"), "pdbx_DELFWT"), (("PHDELWT", "PHFOFCWT"), "pdbx_DELPHWT"),
)  # fmt: skip
LETTERS = ("pdbx_HL_A_iso", "pdbx_HL_B_iso", "pdbx_HL_C_iso", "pdbx_HL_D_iso")


def write_structure_factors(path: Path, data: DiffractionData, entry: str, *, wavelength: float | None = None) -> None:
    """Write the reflections of a refinement.

    Parameters
    ----------
    path : where to.
    data : read from the `refined.mtz` of the refinement: its measured columns, flags and coefficients.
    entry : its name.
    wavelength : Å; that of the file where not given.
    """
    columns = _columns(data)
    hkl = data.carried_hkl
    measured = np.zeros(len(hkl), dtype=bool)
    for kind, items in MEASURED.items():
        if data.choice.measurement.signal(kind) is not None:  # type: ignore[arg-type]
            measured |= np.isfinite(columns[items[0]])
            if "±" in kind:
                measured |= np.isfinite(columns[items[2]])
    status, flags = _status(data, hkl, measured)
    shown = measured | np.isfinite(columns.get("pdbx_FWT", np.full(len(hkl), np.nan)))
    names = ["index_h", "index_k", "index_l", "status", "pdbx_r_free_flag", *columns]
    text = [[str(v) for v in hkl[shown, i].tolist()] for i in range(3)]
    text.append([str(s) for s in status[shown]])
    text.append(["?" if np.isnan(v) else f"{v:.0f}" for v in flags[shown].tolist()])
    text += [_formatted(item, values[shown]) for item, values in columns.items()]
    with write_aside(path) as aside, aside.open("w", encoding="ascii") as file:
        file.write(_header(data, entry, wavelength or data.wavelength))
        file.write("loop_\n_refln.crystal_id\n_refln.wavelength_id\n_refln.scale_group_code\n")
        file.writelines(f"_refln.{name}\n" for name in names)
        file.writelines("1 1 1 " + " ".join(row) + "\n" for row in zip(*text, strict=True))


def _columns(data: DiffractionData) -> dict[str, FloatArray]:
    """Values of every item that is written, row by row as `carried_hkl`."""
    carried = {c.label: c.values for c in data.carried}
    found: dict[str, FloatArray] = {}
    for kind, items in MEASURED.items():
        signal = data.choice.measurement.signal(kind)  # type: ignore[arg-type]
        if signal is not None:
            values = [carried[label].copy() for label in signal.labels]
            for value, sigma in zip(values[::2], values[1::2], strict=True):
                value[sigma <= 0.0] = np.nan  # how MTZ files of some programs say that nothing was measured
                sigma[sigma <= 0.0] = np.nan
            found |= dict(zip(items, values, strict=True))
    letters = [c for c in data.carried if c.kind == "A"][:4]
    if len(letters) == 4:
        found |= {item: c.values for item, c in zip(LETTERS, letters, strict=True)}
    for labels, item in CALCULATED:
        label = next((l for l in labels if l in carried), None)
        if label is None:
            raise DataError(f"{data.source}: no column {labels[0]}; expected the refined.mtz of a refinement")
        found[item] = carried[label]
    return found


def _status(
    data: DiffractionData, hkl: NDArray[np.int64], measured: NDArray[np.bool_]
) -> tuple[NDArray[np.str_], FloatArray]:
    """Status of each reflection (o, f, x for not measured), and the flags as in the file."""
    column = next((c for c in data.carried if c.is_named(data.flags.label)), None)
    flags = column.values if column is not None else np.full(len(hkl), np.nan)
    free = np.isclose(flags, data.flags.free_value) & np.isfinite(flags)
    return np.where(measured, np.where(free, "f", "o"), "x"), flags


def _formatted(item: str, values: FloatArray) -> list[str]:
    digits = 3 if item == "fom" else 2 if "PH" in item or item == "phase_calc" else None
    if digits is not None:
        if item != "fom":
            values = np.round((values + 179.995) % 360.0 - 179.995, 2) + 0.0  # (−180, 180], without −0
        return ["?" if np.isnan(v) else f"{v:.{digits}f}" for v in values.tolist()]
    return ["?" if np.isnan(v) else f"{v:.7g}" for v in values.tolist()]


def _header(data: DiffractionData, name: str, wavelength: float | None) -> str:
    crystal = data.reflections.crystal
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "".join(f"_cell.{n}  {v:.4f}\n" for n, v in zip(names, crystal.cell, strict=True))
    return (
        f"data_r{name.lower()}sf\n#\n_audit.revision_id  1_0\n_audit.update_record  'Burnish {__version__}'\n#\n"
        f"_entry.id  {name}\n#\n_cell.entry_id  {name}\n{cell}#\n"
        f"_symmetry.entry_id  {name}\n_symmetry.space_group_name_H-M  '{crystal.group.hm}'\n"
        f"_symmetry.Int_Tables_number  {crystal.group.number}\n#\n"
        f"_diffrn.id  1\n_diffrn.crystal_id  1\n_exptl_crystal.id  1\n_reflns_scale.group_code  1\n#\n"
        f"_diffrn_radiation_wavelength.id  1\n"
        f"_diffrn_radiation_wavelength.wavelength  {f'{wavelength:.5f}' if wavelength else '?'}\n#\n"
    )
