// A model with its maps, what is wrong with it as a list to walk through, and the tools to mend it.

import { lines } from "./charts.js";
import { findings } from "./findings.js";
import { h, present } from "./dom.js";
import { handTools } from "./hand_tools.js";
import { ramachandran } from "./ramachandran.js";
import { residueBars } from "./residue_bars.js";
import { openViewer } from "./viewer.js";

// The part of a job's page that has to do with its model. Returns { element, leave }.
// `residue` ("A/27"), where the address names one, is looked at first.
export async function modelPart(job, { withCharts, residue }) {
  const { validation, view } = job;
  if (!view && !validation) return { element: null, leave: () => {} };
  const place = h("div", { class: "viewer-place" });
  const said = h("p", { class: "said", role: "status", "aria-live": "polite" });
  let viewer = null, left = false;
  const walk = findings(validation);
  let at = -1;

  const go = async (residue) => {
    const found = viewer?.find(residue.chain, residue.number);
    said.textContent = `${residue.chain} ${residue.number} ${residue.name ?? found?.name ?? ""}${found || !viewer ? "" : " is not in this model"}`;
    if (found) { tools?.choose(found); await look(found.xyz); }
  };
  const look = async (xyz) => { try { await viewer.lookAt(xyz); } catch (error) { said.textContent = error.message; } };
  const step = async (to) => {
    if (!walk.length) return;
    at = (to + walk.length) % walk.length;
    for (const [k, row] of list.querySelectorAll("li").entries()) row.toggleAttribute("aria-current", k === at);
    list.querySelectorAll("li")[at]?.scrollIntoView({ block: "nearest" });
    const finding = walk[at];
    said.textContent = `${at + 1} of ${walk.length}: ${finding.kind}, ${finding.label}, ${finding.text}`;
    const found = finding.place && viewer?.find(finding.place.chain, finding.place.number);
    if (found) tools?.choose(found);
    if (viewer && (finding.xyz || found)) await look(finding.xyz ?? found.xyz);
  };
  const list = h("ol", { class: "walk", tabindex: 0, "aria-label": "what is wrong" }, walk.map((f, k) =>
    h("li", { onclick: () => step(k) }, h("b", {}, f.kind), ` ${f.label} `, h("small", {}, f.text))));
  const keys = (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "n") step(at + 1);
    else if (event.key === "p") step(at - 1);
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", keys);

  const tools = view && handTools(job, { viewer: () => viewer, said, look });
  const levels = view?.maps.length ? sliders((level, difference) => viewer?.setLevel(level, difference), view.maps.length > 1) : null;
  const walkPart = h("section", { class: "walk-part" },
    h("h3", {}, walk.length ? `To look at (${walk.length}) ` : "To look at", present(walk.length ? [
      h("button", { class: "plain", onclick: () => step(at - 1), title: "key p" }, "previous"), " ",
      h("button", { class: "plain", onclick: () => step(at + 1), title: "key n" }, "next")] : [])),
    walk.length ? list : h("p", {}, validation ? "Nothing stands out." : "Not validated yet."));
  const element = h("section", { class: "model-part" },
    h("div", { class: "bench" },
      h("div", {}, place, levels, said),
      h("div", { class: "side" }, tools?.element ?? null, walkPart)),
    h("div", { class: "columns" }, present([
      validation && await ramachandran(validation.by_residue ?? [], go),
      validation && scores(validation),
    ])),
    validation ? residueBars(validation.by_residue ?? [], go) : null,
    job.moves.length ? movesTable(job.moves, go) : null);

  const start = async () => {
    viewer = left ? null : await openViewer(place);
    if (!viewer) return;
    viewer.scene.onAtom((atom) => {
      if (!atom) return;
      said.textContent = `${atom.chain} ${atom.number} ${atom.name} ${atom.atom}`;
      tools.choose(viewer.find(atom.chain, atom.number) ?? atom, atom.atom);
      look(atom.xyz);
    });
    try {
      await viewer.showModel(view.model);
      await viewer.follow(view.maps);
      const first = viewer.residues()[0];
      const [chain, number] = residue?.split("/") ?? [];
      if (number) await go({ chain, number });
      else if (first && view.maps.length) await look(first.xyz);
    } catch (error) { said.textContent = error.message; }
    await tools.ready();
  };
  if (view) setTimeout(start); // the page is there before the viewer is
  else place.append(h("p", {}, "The model is outside the folder of this project, from which alone files are served: copy it there to see it."));
  return { element, leave: () => { left = true; document.removeEventListener("keydown", keys); tools?.leave(); } };
}

function sliders(changed, withDifference) {
  const make = (name, min, max, value) => h("input", { type: "range", min, max, step: 0.1, value, "aria-label": name });
  const level = make("level of the density, σ", 0.2, 10, 1.5);
  const difference = make("level of the difference density, σ", 2, 8, 3);
  const texts = [h("output", {}, "1.5 σ"), h("output", {}, "3 σ")];
  const tell = () => {
    texts[0].textContent = `${Number(level.value)} σ`;
    texts[1].textContent = `${Number(difference.value)} σ`;
    changed(Number(level.value), Number(difference.value));
  };
  for (const slider of [level, difference]) slider.addEventListener("change", tell);
  return h("div", { class: "levels" }, h("label", {}, "density ", level, texts[0]), withDifference ? h("label", {}, "difference ", difference, texts[1]) : null);
}

function scores(v) {
  const row = (name, value, note = "") => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, value ?? "–"), h("td", {}, note));
  const p = v.percentiles ?? {};
  const standing = (s) => (s?.percentile == null ? "" : `better than ${s.percentile} % of like structures`);
  return h("section", {}, h("h3", {}, "Geometry"), h("table", {}, h("tbody", {}, present([
    v.agreement && row("R-work / R-free", `${v.agreement.r_work} / ${v.agreement.r_free}`),
    row("Ramachandran favoured", `${v.ramachandran?.favoured_percent} %`),
    row("Ramachandran outliers", `${v.ramachandran?.outlier_percent} %`),
    row("Rotamer outliers", `${v.rotamer_outlier_percent} %`),
    row("Clashscore", v.clashscore, standing(p.clashscore)),
    row("MolProbity score", v.molprobity_score, standing(p.molprobity_score)),
    row("Cβ deviations", v.cbeta?.outlier_count),
    v.geometry && row("rms Z of bonds, angles", `${v.geometry.bond?.rmsz?.toFixed(2)}, ${v.geometry.angle?.rmsz?.toFixed(2)}`),
    v.fit && row("Mean correlation", v.fit.mean_rscc),
  ]))));
}

function movesTable(moves, go) {
  const place = (label) => { const [chain, number, name] = label.split(/\s+/); return { chain, number, name }; };
  return h("details", {}, h("summary", {}, `${moves.length} moves, ${moves.filter((m) => m.accepted).length} accepted`),
    h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, moves.map((m) => h("tr", {},
      h("td", {}, m.kind), h("td", {}, h("button", { class: "plain", onclick: () => go(place(m.residue)) }, m.residue)),
      h("td", {}, m.accepted ? "accepted" : "left"), h("td", {}, m.reason ?? "")))))));
}

// R by shell, of the cycle that was last told of or of the finished refinement.
export function shellChart(shells) {
  if (!shells?.length) return null;
  const points = shells.flatMap((s) => Object.entries(s)
    .filter(([name, v]) => /^(r_work|r_free|fsc_model|fsc_halves)$/.test(name) && Number.isFinite(v))
    .map(([name, value]) => ({ step: 1 / s.d_min ** 2, name: name.replaceAll("_", " "), value })));
  if (!points.length) return null;
  return lines(points, { title: "By resolution", x: "1/d² (Å⁻²)", y: "", anyStep: true });
}
