// One bar a residue, chain by chain; a click goes there.

import { h, svg } from "./dom.js";

const HEIGHT = 90, WIDTH = 4;
const QUALITIES = {
  rscc: { name: "Correlation with the density", of: (r) => r.rscc, range: [0, 1], bad: (v) => v < 0.8, poor: (v) => v < 0.9 },
  difference_z: { name: "Worst difference density (σ)", of: (r) => Math.abs(r.difference_z), bad: (v) => v > 5, poor: (v) => v > 3.5 },
  mean_b: { name: "Mean B (Å²)", of: (r) => r.mean_b, bad: () => false, poor: () => false },
  rotamer: { name: "Rarity of the rotamer", of: (r) => rarity(r.rotamer_percent), bad: (_, r) => r.rotamer === "outlier", poor: (_, r) => r.rotamer === "allowed" },
  ramachandran: { name: "Rarity of φ, ψ", of: (r) => rarity(r.ramachandran_percent), bad: (_, r) => r.ramachandran === "outlier", poor: (_, r) => r.ramachandran === "allowed" },
};
const rarity = (percent) => (percent === undefined ? undefined : -Math.log10(Math.max(percent, 0.001) / 100));

export function residueBars(residues, go) {
  const shown = residues.filter((r) => (r.kind === "protein" || r.kind === "nucleic") && !/[B-Z]/.test(r.altloc ?? ""));
  const known = Object.keys(QUALITIES).filter((q) => shown.some((r) => Number.isFinite(QUALITIES[q].of(r))));
  if (!known.length) return null;
  const holder = h("div");
  const draw = (name) => holder.replaceChildren(...Object.entries(Object.groupBy(shown, (r) => r.chain)).map(([chain, list]) => bars(chain, list, QUALITIES[name], go)));
  draw(known[0]);
  return h("section", { class: "wide" }, h("h3", {}, "By residue ",
    h("select", { "aria-label": "quality", onchange: (e) => draw(e.target.value) }, known.map((q) => h("option", { value: q }, QUALITIES[q].name)))), holder);
}

function bars(chain, residues, quality, go) {
  const values = residues.map(quality.of);
  const top = quality.range?.[1] ?? Math.max(...values.filter(Number.isFinite), 1e-6);
  const marks = residues.map((r, k) => {
    const value = values[k];
    if (!Number.isFinite(value)) return svg("g");
    const height = Math.max(1, (HEIGHT * Math.min(Math.max(value, 0), top)) / top);
    const level = quality.bad(value, r) ? "bad" : quality.poor(value, r) ? "poor" : "good";
    return svg("rect", { class: `bar-${level}`, x: 20 + k * WIDTH, y: HEIGHT - height + 4, width: WIDTH - 1, height, "data-residue": `${r.chain} ${r.number}` },
      svg("title", {}, `${r.chain} ${r.number} ${r.name}: ${value.toFixed(2)}`));
  });
  const ticks = residues.flatMap((r, k) => (Number(r.number) % 20 === 0 ? [svg("text", { x: 20 + k * WIDTH, y: HEIGHT + 18, "text-anchor": "middle" }, r.number)] : []));
  const picture = svg("svg", { width: 30 + residues.length * WIDTH, height: HEIGHT + 24, class: "plot", role: "img", "aria-label": `chain ${chain}` },
    svg("text", { x: 2, y: 14 }, chain), marks, ticks);
  picture.addEventListener("click", (e) => {
    const k = Math.floor((e.offsetX - 20) / WIDTH);
    if (residues[k]) go(residues[k]);
  });
  return h("div", { class: "scroll" }, picture);
}
