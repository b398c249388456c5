// What is wrong with a model, as one list to walk through: the worst of each kind first.

// "A 27 LEU CD1" → { chain: "A", number: "27" }; chains of PDB files may have no name.
export function placeOf(label) {
  const parts = label.trim().split(/\s+/);
  return parts.length < 3 ? null : { chain: parts[0], number: parts[1] };
}

const rows = (kind, list, what, name = "residue") => (list ?? []).map((r) => ({ kind, label: r[name], text: what(r) }));

export function findings(v) {
  if (!v) return [];
  return [
    ...rows("Ramachandran", v.ramachandran?.outliers, (r) => `φ ${r.phi_deg}°, ψ ${r.psi_deg}° (${r.level_percent} %)`),
    ...rows("Twisted peptide", v.peptides?.twisted, (r) => `ω ${r.omega_deg}°`),
    ...rows("Cis peptide", v.peptides?.cis_nonproline, (r) => `ω ${r.omega_deg}°`),
    ...rows("Cβ deviation", v.cbeta?.outliers, (r) => `${r.deviation} Å`),
    ...rows("Rotamer", v.rotamers?.outliers, (r) => `χ ${r.chi_deg.join(", ")}° (${r.level_percent} %)`),
    ...rows("Poor fit", v.fit?.poor, (r) => `correlation ${r.rscc}`),
    ...rows("Turn over", v.flips, (r) => `contacts better by ${r.gain}`),
    ...rows("Clash", v.clashes, (r) => `with ${r.second}, ${r.overlap} Å`, "first"),
    ...(v.difference_peaks ?? []).map((p) => ({
      kind: p.sigma > 0 ? "Peak" : "Hole", label: p.near, text: `${p.sigma > 0 ? "+" : "−"}${Math.abs(p.sigma).toFixed(1)} σ, ${p.distance} Å away`, xyz: p.xyz,
    })),
    ...rows("Poor water", v.fit?.poor_waters, (r) => `correlation ${r.rscc}, B ${r.mean_b} Å²`),
    ...rows("B factor", v.b_factor_outliers, (r) => `${r.mean_b} Å², around it ${r.around}`),
  ].map((f) => ({ ...f, place: placeOf(f.label) }));
}
