// A job's numbers in the groups that share a chart, under the names that the field has for them.

const WORDS = { b: "B", cc: "CC", fsc: "FSC", molprobity: "MolProbity", pmax: "Pmax", r: "R", rmsz: "rms Z", percent: "(%)", deg: "(°)" };

// A result's name as the field writes it, as burnish.core.terms does: r_free is R-free.
export const term = (name) => name.split("_").map((w) => WORDS[w] ?? w).join(" ").replace(/^(R|CC|FSC) (work|free)/, "$1-$2");

// Put metrics of like size on one chart: R factors together, resolutions together, everything else by itself.
// Rounds and the cycles within them are on charts of their own; cycles that begin again go on after those before.
export function groups(metrics) {
  const kind = (name) => (/^r_|^r1|^cc_/.test(name) ? "R factors and correlation"
    : /rmsz/.test(name) ? "rms Z" : /rmsd/.test(name) ? "rms deviation"
    : /resolution|_d_min|d_min/.test(name) ? "Resolution (Å)" : term(name));
  const found = new Map(), last = new Map(), before = new Map();
  const several = new Set(metrics.map((m) => m.series)).size > 1;
  for (const { series, step: given, values } of metrics) {
    if (given === 0 && last.has(series)) before.set(series, (before.get(series) ?? 0) + last.get(series) + 1);
    last.set(series, given);
    const step = given + (before.get(series) ?? 0);
    for (const [name, value] of Object.entries(values)) {
      if (!Number.isFinite(value)) continue;
      const title = several ? `${kind(name)} by ${series}` : kind(name);
      if (!found.has(title)) found.set(title, { series, points: [] });
      found.get(title).points.push({ step, name: term(name), value });
    }
  }
  return found;
}
