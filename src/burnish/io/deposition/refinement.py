"""Categories of the refinement, from the record that it left (`refined.json`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from burnish import __version__
from burnish.io.deposition.categories import Categories, Category, fill, is_known, number, one_row, row_count, rows

METHODS = {"xray": "X-RAY DIFFRACTION", "neutron": "NEUTRON DIFFRACTION", "electron": "ELECTRON CRYSTALLOGRAPHY"}
METHOD = METHODS["xray"]
TARGETS = {
    "ml": "MAXIMUM LIKELIHOOD", "intensity": "MAXIMUM LIKELIHOOD ON INTENSITIES",
    "phased": "MAXIMUM LIKELIHOOD WITH PHASES", "anomalous": "MAXIMUM LIKELIHOOD ON BIJVOET PAIRS",
    "ls": "LEAST SQUARES",
}  # fmt: skip
RESTRAINTS = {
    "bond": "r_bond_refined_d", "angle": "r_angle_refined_deg", "torsion": "r_dihedral_angle_refined_deg",
    "chiral": "r_chiral_restr", "plane": "r_gen_planes_refined",
}  # fmt: skip
MASK_RADII = (1.1, 0.9)  # Å: probe and shrinkage of the solvent mask


def refinement_categories(
    record: dict[str, Any], options: dict[str, Any], structure: gemmi.Structure, old: Categories
) -> Categories:
    """`_refine`, its shells, restraints, atoms and TLS groups, and the software.

    Parameters
    ----------
    record : of the refinement.
    options : of the job that refined.
    structure : refined model.
    old : categories of the refined model's file, for TLS and software.
    """
    data, final = record["data"], record["final"]
    entry = {"entry_id": structure.name, "pdbx_refine_id": METHOD}
    made: Categories = {"refine": one_row(entry)}
    n_all = data["n_work"] + data["n_free"]
    fill(
        made,
        "refine",
        {
            "pdbx_diffrn_id": "1",
            "ls_d_res_high": number(data["d_min"], 2),
            "ls_d_res_low": number(data["d_max"], 2),
            "ls_number_reflns_obs": n_all,
            "ls_number_reflns_all": data["n_possible"],
            "ls_number_reflns_R_work": data["n_work"],
            "ls_number_reflns_R_free": data["n_free"],
            "ls_percent_reflns_obs": number(100.0 * n_all / max(1, data["n_possible"]), 2),
            "ls_percent_reflns_R_free": number(100.0 * data["n_free"] / max(1, n_all), 2),
            "ls_R_factor_obs": number(_r_all(data, final), 4),
            "ls_R_factor_R_work": number(final["r_work"], 4),
            "ls_R_factor_R_free": number(final["r_free"], 4),
            "correlation_coeff_Fo_to_Fc": number(final["cc_work"], 4),
            "correlation_coeff_Fo_to_Fc_free": number(final["cc_free"], 4),
            "pdbx_ls_cross_valid_method": "THROUGHOUT" if data["n_free"] else "NONE",
            "pdbx_R_Free_selection_details": "RANDOM" if data["n_free"] else None,
            "pdbx_ls_sigma_F": "0.000",
            "pdbx_stereochemistry_target_values": TARGETS.get(options.get("target", "ml")),
            "solvent_model_details": "FLAT MASK",
            "solvent_model_param_ksol": number(record["scaling"]["k_sol"], 3),
            "solvent_model_param_bsol": number(record["scaling"]["b_sol"], 2),
            "pdbx_solvent_vdw_probe_radii": number(MASK_RADII[0], 2),
            "pdbx_solvent_shrinkage_radii": number(MASK_RADII[1], 2),
            **_anisotropy(record["scaling"]["anisotropy"]),
            **_displacements(structure),
            **_coordinate_errors(record, structure),
            "ls_hydrogen_treatment": "constr" if options.get("hydrogens", "add") == "add" else None,
            "details": _details(options),
        },
    )
    made["refine_ls_shell"] = _shells(record["shells"])
    made["refine_hist"] = atom_counts(structure, METHOD, data)
    made["refine_ls_restr"] = restraint_table(record["geometry"], METHOD)
    for name in ("pdbx_refine_tls", "pdbx_refine_tls_group"):
        if name in old:
            given = {item: values for item, values in old[name].items() if any(is_known(v) for v in values)}
            made[name] = given
    if len(fractions := final.get("twin_fractions") or [1.0]) > 1:
        made["pdbx_reflns_twin"] = twin_table(record.get("twin_laws") or [], fractions)
    made["software"] = software_table(old)
    method = METHODS[options.get("radiation", "xray")]
    for table in made.values():
        if "pdbx_refine_id" in table:
            table["pdbx_refine_id"] = [method] * row_count(table)
    return made


def _r_all(data: dict[str, Any], final: dict[str, Any]) -> float | None:
    """R of all reflections, work and free weighted by their numbers (their mean amplitudes are alike)."""
    if not data["n_free"] or final["r_free"] is None:
        return final["r_work"]
    return (final["r_work"] * data["n_work"] + final["r_free"] * data["n_free"]) / (data["n_work"] + data["n_free"])


def _anisotropy(tensor: Sequence[float]) -> dict[str, object]:
    names = ("[1][1]", "[2][2]", "[3][3]", "[1][2]", "[1][3]", "[2][3]")
    return {f"aniso_B{n}": number(v, 4) for n, v in zip(names, tensor, strict=True)}


def _displacements(structure: gemmi.Structure) -> dict[str, object]:
    sites = [c.atom for c in structure[0].all() if not c.atom.is_hydrogen()]
    b, occ = [a.b_iso for a in sites], [a.occ for a in sites]
    aniso = sum(a.aniso.nonzero() for a in sites)
    model = "Isotropic" if not aniso else "Anisotropic" if aniso == len(sites) else "Mixed"
    return {
        "B_iso_mean": number(float(np.mean(b)), 2), "B_iso_min": number(min(b), 2), "B_iso_max": number(max(b), 2),
        "occupancy_min": number(min(occ), 2), "occupancy_max": number(max(occ), 2),
        "pdbx_isotropic_thermal_model": model,
    }  # fmt: skip


def _coordinate_errors(record: dict[str, Any], structure: gemmi.Structure) -> dict[str, object]:
    """Cruickshank's diffraction-component precision index, by R and by R-free.

    Notes
    -----
    σ(x) = √(N_a / (N_obs − N_par)) · C^(−1/3) · R · d_min, and with R-free √(N_a / N_obs) (Cruickshank 1999, Acta
    Cryst. D55, 583, eqs 26 and 27); C is the completeness.
    """
    data, final = record["data"], record["final"]
    sites = [c.atom for c in structure[0].all() if not c.atom.is_hydrogen()]
    n_atoms = sum(a.occ for a in sites)
    n_obs = data["n_work"]
    n_par = sum(9 if a.aniso.nonzero() else 4 for a in sites)
    complete = ((data["n_work"] + data["n_free"]) / max(1, data["n_possible"])) ** (-1.0 / 3.0)
    by_r = None
    if n_obs > n_par:
        by_r = math.sqrt(n_atoms / (n_obs - n_par)) * complete * final["r_work"] * data["d_min"]
    by_free = None
    if final["r_free"] is not None and n_obs:
        by_free = math.sqrt(n_atoms / n_obs) * complete * final["r_free"] * data["d_min"]
    return {
        "pdbx_overall_ESU_R": number(by_r, 3),
        "pdbx_overall_ESU_R_Free": number(by_free, 3),
        "overall_SU_R_Cruickshank_DPI": number(by_r, 4),
    }


def _details(options: dict[str, Any]) -> str | None:
    parts = []
    if options.get("hydrogens", "add") == "add":
        parts.append("HYDROGENS WERE PLACED IN RIDING POSITIONS")
    if options.get("twin"):
        parts.append("TWIN REFINEMENT: R FACTORS ARE OF INTENSITIES (R1)")
    if options.get("tls", "none") != "none":
        parts.append("TLS GROUPS WERE REFINED; B VALUES CONTAIN THEIR CONTRIBUTION")
    return "; ".join(parts) or None


def _shells(shells: Sequence[dict[str, Any]]) -> Category:
    """From the finest shell on, as the PDB lists them."""
    items = ("pdbx_refine_id", "d_res_high", "d_res_low", "number_reflns_obs", "number_reflns_R_work",
             "number_reflns_R_free", "percent_reflns_obs", "percent_reflns_R_free", "R_factor_R_work",
             "R_factor_R_free", "pdbx_total_number_of_bins_used")  # fmt: skip
    table = [
        (METHOD, number(s["d_min"], 3), number(s["d_max"], 3), s["measured"], s["measured"] - s["free"], s["free"],
         number(100.0 * s["completeness"], 2), number(100.0 * s["free"] / max(1, s["measured"]), 2),
         number(s["r_work"], 4), number(s["r_free"], 4), len(shells))
        for s in reversed(shells)
    ]  # fmt: skip
    return rows(items, table)


def atom_counts(structure: gemmi.Structure, method: str, data: dict[str, Any] | None) -> Category:
    """`_refine_hist`: what the model consists of."""
    protein = nucleic = ligand = water = 0
    b_ligand: list[float] = []
    b_water: list[float] = []
    for chain in structure[0]:
        for residue in chain:
            atoms = [a for a in residue if not a.is_hydrogen()]
            info = gemmi.find_tabulated_residue(residue.name)
            if residue.is_water():
                water += len(atoms)
                b_water += [a.b_iso for a in atoms]
            elif residue.entity_type == gemmi.EntityType.Polymer and info.is_nucleic_acid():
                nucleic += len(atoms)
            elif residue.entity_type == gemmi.EntityType.Polymer:
                protein += len(atoms)
            else:
                ligand += len(atoms)
                b_ligand += [a.b_iso for a in atoms]
    return one_row(
        {
            "pdbx_refine_id": method, "cycle_id": "LAST",
            "d_res_high": number(data["d_min"], 2) if data else number(structure.resolution, 2),
            "d_res_low": number(data["d_max"], 2) if data else None,
            "pdbx_number_atoms_protein": protein, "pdbx_number_atoms_nucleic_acid": nucleic,
            "pdbx_number_atoms_ligand": ligand, "number_atoms_solvent": water,
            "number_atoms_total": protein + nucleic + ligand + water,
            "pdbx_B_iso_mean_ligand": number(float(np.mean(b_ligand)), 2) if b_ligand else None,
            "pdbx_B_iso_mean_solvent": number(float(np.mean(b_water)), 2) if b_water else None,
        }
    )  # fmt: skip


def restraint_table(geometry: dict[str, Any], method: str) -> Category:
    """`_refine_ls_restr`, with REFMAC's names for the kinds of restraints."""
    items = ("pdbx_refine_id", "type", "number", "dev_ideal", "dev_ideal_target")
    table = [
        (method, name, found["count"], number(found["rmsd"], 3), number(found["mean_sigma"], 3))
        for kind, name in RESTRAINTS.items()
        if (found := geometry.get(kind)) and found["count"]
    ]
    return rows(items, table)


def twin_table(laws: Sequence[str], fractions: Sequence[float]) -> Category:
    """Twin operators on indices and their fractions, the identity first."""
    operators = ["H, K, L", *(_on_indices(law) for law in laws)]
    items = ("crystal_id", "diffrn_id", "domain_id", "operator", "fraction", "type")
    table = [
        ("1", "1", i, operator, number(fraction, 4), None)
        for i, (operator, fraction) in enumerate(zip(operators, fractions, strict=False), start=1)
    ]
    return rows(items, table)


def _on_indices(triplet: str) -> str:
    """Twin law on h, k, l: the rotation acts on indices as a row vector."""
    rotation = np.array(gemmi.Op(triplet).rot) // gemmi.Op.DEN
    parts = []
    for column in rotation.T:
        text = "".join(
            f"{'-' if c < 0 else '+'}{'' if abs(c) == 1 else abs(c)}{n}"
            for c, n in zip(column, "HKL", strict=True)
            if c
        )
        parts.append(text.lstrip("+"))
    return ", ".join(parts)


def software_table(old: Categories) -> Category:
    """What was used before, and Burnish for the refinement."""
    before = old.get("software", {})
    table: list[tuple[object, ...]] = []
    for i in range(row_count(before)):
        name, version, kind = (
            before.get(k, [None] * row_count(before))[i] for k in ("name", "version", "classification")
        )
        if str(name).upper() != "BURNISH":
            table.append((len(table) + 1, name, version, kind or "refinement"))
    table.append((len(table) + 1, "Burnish", __version__, "refinement"))
    return rows(("pdbx_ordinal", "name", "version", "classification"), table)
