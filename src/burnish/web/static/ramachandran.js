// The Ramachandran plot: a click on a point, or Enter where it has the keyboard's focus, goes to the residue.

import { h, svg } from "./dom.js";

const SIZE = 340, EDGE = 34;
const NAMES = {
  general: "general", ile_val: "Ile, Val", pre_proline: "before proline", glycine: "glycine", trans_proline: "trans-proline", cis_proline: "cis-proline",
};
let outlines = null;

const x = (phi) => EDGE + ((phi + 180) / 360) * SIZE;
const y = (psi) => 6 + ((180 - psi) / 360) * SIZE;

export async function ramachandran(residues, go) {
  const points = residues.filter((r) => r.phi_deg !== undefined);
  if (!points.length) return null;
  outlines ??= await (await fetch("/static/ramachandran.json")).json();
  const kinds = Object.keys(NAMES).filter((k) => points.some((p) => p.ramachandran_class === k));
  const holder = h("div");
  const count = (verdict) => points.filter((p) => p.ramachandran === verdict).length;
  const draw = (kind) => holder.replaceChildren(plot(points.filter((p) => kind === "all" || p.ramachandran_class === kind), kind === "all" ? "general" : kind, go));
  const choice = h("select", { "aria-label": "class of residues", onchange: (e) => draw(e.target.value) },
    h("option", { value: "all" }, "all residues"), kinds.map((k) => h("option", { value: k }, NAMES[k])));
  draw("all");
  return h("figure", { class: "ramachandran" }, h("h3", {}, "Ramachandran plot ", choice), holder,
    h("figcaption", {}, `${count("favoured")} favoured, ${count("allowed")} allowed, ${count("outlier")} outliers of ${points.length}`));
}

function plot(points, kind, go) {
  const lines = (name) => (outlines[kind]?.[name] ?? []).map((line) => svg("polygon", { class: `region-${name}`, points: line.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
  const ticks = [-180, -90, 0, 90, 180].flatMap((v) => [
    svg("text", { x: x(v), y: SIZE + 20, "text-anchor": "middle" }, `${v}`), svg("text", { x: EDGE - 4, y: y(v) + 4, "text-anchor": "end" }, `${v}`)]);
  const order = { favoured: 0, allowed: 1, outlier: 2 };
  const marks = points.toSorted((a, b) => order[a.ramachandran] - order[b.ramachandran]).map((p) => {
    const label = `${p.chain} ${p.number} ${p.name} φ ${p.phi_deg}° ψ ${p.psi_deg}° ${p.ramachandran}`;
    const mark = svg("circle", {
      class: `point-${p.ramachandran}`, cx: x(p.phi_deg), cy: y(p.psi_deg), r: p.ramachandran === "favoured" ? 2.5 : 4.5, role: "button", "aria-label": label,
      "data-residue": `${p.chain} ${p.number}`, ...(p.ramachandran === "favoured" ? {} : { tabindex: 0 }),
    }, svg("title", {}, label));
    mark.addEventListener("click", () => go(p));
    mark.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); go(p); } });
    return mark;
  });
  return svg("svg", { viewBox: `0 0 ${SIZE + EDGE + 14} ${SIZE + 40}`, class: "plot", role: "group", "aria-label": "Ramachandran plot" },
    svg("clipPath", { id: "inside" }, svg("rect", { x: EDGE, y: 6, width: SIZE, height: SIZE })),
    svg("g", { "clip-path": "url(#inside)" }, lines("allowed"), lines("favoured")),
    svg("rect", { class: "frame", x: EDGE, y: 6, width: SIZE, height: SIZE }), ticks,
    svg("text", { x: EDGE + SIZE / 2, y: SIZE + 36, "text-anchor": "middle" }, "φ (°)"),
    svg("text", { x: 10, y: 6 + SIZE / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${6 + SIZE / 2})` }, "ψ (°)"), marks);
}
