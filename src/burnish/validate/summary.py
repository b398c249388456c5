"""Findings about a model as plain values, as `validation.json` holds them."""

from __future__ import annotations

import math
from typing import Any

from burnish.validate.density_fit import POOR_CORRELATION
from burnish.validate.geometry import geometry_record
from burnish.validate.model_validation import ModelValidation
from burnish.validate.molprobity import Standing, clashscore_standing, molprobity_standing


def validation_record(found: ModelValidation, d_min: float | None = None) -> dict[str, Any]:
    """All findings; fractions as percent, angles in °, distances in Å.

    Parameters
    ----------
    found : of one model.
    d_min : resolution of the data, for the standing among structures of like resolution; None without data.
    """
    s, views = found.scores, found.views
    record: dict[str, Any] = {
        "ramachandran": _ramachandran(found),
        "rotamer_outlier_percent": round(s.rotamer_outlier_percent, 2),
        "rotamers": _rotamers(found),
        "cbeta": {
            "outlier_count": s.cbeta_outliers,
            "outliers": [
                {"residue": views[d.view].label, "deviation": round(d.deviation, 3)}
                for d in sorted(found.cbeta, key=lambda d: -d.deviation)
                if d.is_outlier
            ],
        },
        "peptides": _peptides(found),
        "geometry": geometry_record(found.geometry),
        "clashscore": round(s.clashscore, 2),
        "clashes": [
            {
                "first": found.clash_names[c.first],
                "second": found.clash_names[c.second],
                "overlap": round(c.overlap, 3),
            }
            for c in found.clashes.pairs
        ],
        "molprobity_score": round(s.molprobity_score, 3),
        "flips": [{"residue": f.residue, "gain": round(f.flipped_score - f.score, 2)} for f in found.flips],
        "waters": {
            "count": len(found.waters),
            "alone": [views[w.view].label for w in found.waters if w.is_alone],
            "too_close": [views[w.view].label for w in found.waters if w.is_too_close],
        },
        "b_factor_outliers": [
            {"residue": views[d.view].label, "mean_b": round(d.mean_b, 1), "around": round(d.around, 1)}
            for d in sorted(found.displacements, key=lambda d: -abs(d.z))
        ],
    }
    if d_min is not None:
        record["d_min"] = round(d_min, 3)
        record["percentiles"] = {
            "clashscore": _standing(clashscore_standing(s.clashscore, d_min)),
            "molprobity_score": _standing(molprobity_standing(s.molprobity_score, d_min)),
        }
    if found.fits:
        record["fit"] = _fit(found)
        record["difference_peaks"] = [
            {
                "xyz": [round(x, 2) for x in p.xyz],
                "sigma": round(p.height, 2),
                "near": found.atom_names[p.atom],
                "distance": round(p.distance, 2),
            }
            for p in found.peaks
        ]
    record["by_residue"] = residue_rows(found)
    return record


def _ramachandran(found: ModelValidation) -> dict[str, Any]:
    s, listed = found.scores, sorted(found.ramachandran, key=_level)
    return {
        "favoured_percent": round(s.favoured_percent, 2),
        "allowed_percent": round(s.allowed_percent, 2),
        "outlier_percent": round(s.outlier_percent, 2),
        "residues": sum(found.views[r.view].is_primary for r in found.ramachandran),
        "outliers": [_backbone(found, r) for r in listed if r.verdict == "outlier"],
        "allowed": [_backbone(found, r) for r in listed if r.verdict == "allowed"],
    }


def _rotamers(found: ModelValidation) -> dict[str, Any]:
    return {
        "favoured_percent": round(found.scores.rotamer_favoured_percent, 2),
        "residues": sum(found.views[r.view].is_primary for r in found.rotamers),
        "outlier_count": found.scores.rotamer_outliers,
        "outliers": [
            {
                "residue": found.views[r.view].label,
                "level_percent": round(100 * r.level, 3),
                "chi_deg": [round(math.degrees(c), 1) for c in r.chi],
            }
            for r in sorted(found.rotamers, key=_level)
            if r.verdict == "outlier"
        ],
    }


def residue_rows(found: ModelValidation) -> list[dict[str, Any]]:
    """One row a residue conformer with all that is known of it."""
    rows: dict[int, dict[str, Any]] = {
        i: {"chain": v.chain, "number": v.number, "name": v.name, "altloc": v.altloc, "kind": v.kind}
        for i, v in enumerate(found.views)
    }
    for r in found.ramachandran:
        rows[r.view] |= {
            "phi_deg": round(math.degrees(r.phi), 1),
            "psi_deg": round(math.degrees(r.psi), 1),
            "ramachandran": r.verdict,
            "ramachandran_class": r.kind,
            "ramachandran_percent": round(100 * r.level, 3),
        }
    for c in found.rotamers:
        rows[c.view] |= {"rotamer": c.verdict, "rotamer_name": c.name, "rotamer_percent": round(100 * c.level, 3)}
    for d in found.cbeta:
        rows[d.view]["cbeta_deviation"] = round(d.deviation, 3)
    for p in found.peptides:
        rows[p.view] |= {"omega_deg": round(math.degrees(p.omega), 1), "peptide": p.kind}
    for f in found.fits:
        rows[f.view] |= {
            "rscc": round(f.correlation, 3),
            "rsr": round(f.r_value, 3),
            "density_sigma": round(f.density, 2),
            "difference_z": round(f.worst_z, 2),
            "mean_b": round(f.mean_b, 1),
            "occupancy": round(f.occupancy, 2),
        }
    return list(rows.values())


def _level(item: Any) -> float:
    return float(item.level)


def _backbone(found: ModelValidation, r: Any) -> dict[str, Any]:
    return {
        "residue": found.views[r.view].label,
        "class": r.kind,
        "phi_deg": round(math.degrees(r.phi), 1),
        "psi_deg": round(math.degrees(r.psi), 1),
        "level_percent": round(100 * r.level, 3),
    }


def _peptides(found: ModelValidation) -> dict[str, Any]:
    def listed(kind: str, proline: bool | None) -> list[dict[str, Any]]:
        return [
            {"residue": found.views[p.view].label, "omega_deg": round(math.degrees(p.omega), 1)}
            for p in found.peptides
            if p.kind == kind and (proline is None or p.is_proline == proline)
        ]

    return {
        "cis_proline": listed("cis", True),
        "cis_nonproline": listed("cis", False),
        "twisted": listed("twisted", None),
    }


def _standing(standing: Standing) -> dict[str, float | None]:
    def plain(x: float) -> float | None:
        return None if math.isnan(x) else round(x, 2)

    return {
        "percentile": plain(standing.percentile),
        "median": plain(standing.median),
        "best_tenth": plain(standing.tenth),
    }


def _fit(found: ModelValidation) -> dict[str, Any]:
    judged = [f for f in found.fits if found.views[f.view].kind in ("protein", "nucleic")]
    ligands = [f for f in found.fits if found.views[f.view].kind == "other"]
    waters = [f for f in found.fits if found.views[f.view].kind == "water"]

    def rows(fits: list[Any]) -> list[dict[str, Any]]:
        return [
            {
                "residue": found.views[f.view].label,
                "rscc": round(f.correlation, 3),
                "rsr": round(f.r_value, 3),
                "difference_z": round(f.worst_z, 2),
                "mean_b": round(f.mean_b, 1),
            }
            for f in fits
        ]

    mean = sum(f.correlation for f in judged) / len(judged) if judged else float("nan")
    return {
        "mean_rscc": round(mean, 4) if judged else None,
        "poor": rows(sorted((f for f in judged if f.correlation < POOR_CORRELATION), key=lambda f: f.correlation)),
        "ligands": rows(ligands),
        "poor_waters": rows(sorted((f for f in waters if f.density < 1.0), key=lambda f: f.density)),
    }
