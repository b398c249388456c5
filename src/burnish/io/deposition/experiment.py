"""Categories of the measurement that follow from the data: `_exptl`, `_diffrn…`, `_reflns`."""

from __future__ import annotations

import numpy as np

from burnish.io.deposition.categories import Categories, fill, is_known, number, value_of
from burnish.io.deposition.refinement import METHODS
from burnish.io.reflections import DiffractionData

SCATTERING = {"xray": "x-ray", "neutron": "neutron", "electron": "electron"}
EXPERIMENT = ("exptl", "diffrn", "diffrn_source", "diffrn_detector", "diffrn_radiation", "reflns", "reflns_shell")


def data_categories(categories: Categories, data: DiffractionData, radiation: str, original: Categories) -> None:
    """Add what the data say of their measurement; what the model's file said already stays.

    Parameters
    ----------
    categories : of the model; changed.
    data : in use.
    radiation : "xray", "neutron" or "electron".
    original : categories of the measured file, empty for MTZ.
    """
    for name in EXPERIMENT:
        if name not in categories and name in original:
            categories[name] = {k: list(v) for k, v in original[name].items() if k != "entry_id"}
    entry = value_of(categories, "entry", "id")
    fill(categories, "exptl", {"entry_id": entry, "method": METHODS[radiation], "crystals_number": "1"})
    fill(categories, "exptl_crystal", {"id": "1"})
    fill(categories, "diffrn", {"id": "1", "crystal_id": "1"})
    fill(
        categories,
        "diffrn_radiation",
        {"diffrn_id": "1", "wavelength_id": "1", "pdbx_scattering_type": SCATTERING[radiation]},
    )
    fill(categories, "diffrn_source", {"diffrn_id": "1"})
    fill(categories, "diffrn_detector", {"diffrn_id": "1"})
    wavelength = _wavelength(categories, data, original)
    fill(categories, "diffrn_radiation_wavelength", {"id": "1", "wavelength": wavelength, "wt": "1.0"})
    fill(categories, "diffrn_source", {"pdbx_wavelength_list": wavelength})
    _reflections(categories, data, entry)


def _wavelength(categories: Categories, data: DiffractionData, original: Categories) -> object:
    """From the model's header, the measured file or the columns, in this order; None where nobody says."""
    for source, category, item in (
        (categories, "diffrn_radiation_wavelength", "wavelength"),
        (categories, "diffrn_source", "pdbx_wavelength"),
        (categories, "diffrn_source", "pdbx_wavelength_list"),
        (original, "diffrn_radiation_wavelength", "wavelength"),
    ):
        found = value_of(source, category, item)
        if found is not None and "," not in found and "-" not in found:
            return found
    return number(data.wavelength, 5) if data.wavelength and data.wavelength < 9.0 else None  # 9.999: not known


def _reflections(categories: Categories, data: DiffractionData, entry: object) -> None:
    """Numbers of the merged data in use; those of the measurement, where the header gives them, stay."""
    r = data.reflections
    measured = r.f_obs.isfinite() if r.i_obs is None or not data.intensities_only else r.i_obs.isfinite()
    d = r.s2[measured].rsqrt()
    ratio = None
    if r.i_obs is not None and r.sigma_i_obs is not None:
        good = r.i_obs.isfinite() & (r.sigma_i_obs > 0)
        ratio = float(np.mean((r.i_obs[good] / r.sigma_i_obs[good]).numpy())) if bool(good.any()) else None
    given = is_known((categories.get("reflns", {}).get("number_obs") or [None])[0])
    fill(categories, "reflns", {"entry_id": entry, "pdbx_ordinal": "1", "pdbx_diffrn_id": "1"})
    if not given:
        fill(
            categories,
            "reflns",
            {
                "number_obs": int(measured.sum()),
                "d_resolution_high": number(float(d.min()), 2),
                "d_resolution_low": number(float(d.max()), 2),
                "percent_possible_obs": number(100.0 * float(measured.double().mean()), 2),
                "pdbx_netI_over_sigmaI": number(ratio, 2),
            },
        )
