// A job's numbers in the groups that share a chart.

// Put metrics of like size on one chart: R factors together, resolutions together, everything else by itself.
// Rounds and the cycles within them are on charts of their own; cycles that begin again go on after those before. The
// server sends with each number the name that people have for it.
export function groups(metrics) {
  const kind = (name, term) => (/^r_|^r1|^cc_/.test(name) ? "R factors and correlation"
    : /rmsz/.test(name) ? "rms Z" : /rmsd/.test(name) ? "rms deviation"
    : /resolution|_d_min|d_min/.test(name) ? "Resolution (Å)" : term);
  const found = new Map(), last = new Map(), before = new Map();
  const several = new Set(metrics.map((m) => m.series)).size > 1;
  for (const { series, step: given, values, names } of metrics) {
    if (given === 0 && last.has(series)) before.set(series, (before.get(series) ?? 0) + last.get(series) + 1);
    last.set(series, given);
    const step = given + (before.get(series) ?? 0);
    for (const [name, value] of Object.entries(values)) {
      if (!Number.isFinite(value)) continue;
      const term = names[name], title = several ? `${kind(name, term)} by ${series}` : kind(name, term);
      if (!found.has(title)) found.set(title, { series, points: [] });
      found.get(title).points.push({ step, name: term, value });
    }
  }
  return found;
}
