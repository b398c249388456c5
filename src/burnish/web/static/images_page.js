// What a cryo-EM job found: FSC, Guinier plot, views, defocus over the micrograph, aberrations, sections, maps and masks.

import { lines } from "./charts.js";
import { h, present, svg } from "./dom.js";
import { read } from "./server.js";
import { openViewer } from "./viewer.js";

const SHADES = ["#f1f5f9", "#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c", "#08306b"];

export function imagesPart(job, found, { withCharts, maps }) {
  const anything = found.fsc?.length || found.guinier || found.views?.particles || found.micrographs?.length || found.pictures.length || found.maps.length;
  if (!anything) return null;
  const chart = (make) => (withCharts ? make() : h("p", {}, "Charts are not installed; `make web` brings them."));
  return h("section", {},
    maps && found.maps.length ? mapViewer(found.maps) : null,
    h("div", { class: "columns" }, present([
      found.fsc?.length ? chart(() => fscChart(found.fsc)) : null,
      found.guinier?.points.length ? chart(() => guinierChart(found.guinier)) : null,
      found.views?.particles ? viewsPicture(found.views) : null,
      found.views?.p_max?.some((n) => n) ? pMaxPicture(found.views.p_max) : null,
      found.micrographs?.length ? defocusPart(job, found.micrographs) : null,
      found.message ? h("p", { class: "error" }, found.message) : null,
      found.maps.length ? sectionsPart(found.maps) : null,
    ])),
    found.pictures.length ? h("section", {}, h("h3", {}, "Aberrations"), h("div", { class: "pictures large" }, found.pictures.map((p) =>
      h("figure", {}, h("img", { src: `/files/${p}`, loading: "lazy", alt: p.split("/").pop().replace(".png", "").replaceAll("_", " ") }),
        h("figcaption", {}, p.split("/").pop().replace(".png", "").replaceAll("_", " ")))))) : null);
}

function fscChart(points) {
  const rows = points.map((p) => ({ step: p.s, value: p.fsc, name: p.name }));
  return lines(rows, { title: "Fourier shell correlation", x: "1/d (Å⁻¹)", y: "", anyStep: true, dots: false, rules: [0.143, 0] });
}

function guinierChart({ points, numbers }) {
  const rows = points.map((p) => ({ step: p.s2, value: p.value, name: p.name }));
  const b = numbers.b_factor === undefined ? "" : `, B ${numbers.b_factor.toFixed(1)} Å²`;
  return lines(rows, { title: `Guinier plot${b}`, x: "1/d² (Å⁻²)", y: "ln F", anyStep: true, dots: false });
}

// Views over the sphere, flattened: how many times as many particles as if views were even.
function viewsPicture({ relative, particles, every }) {
  const cell = [12, 12], [rows, columns] = [relative.length, relative[0].length];
  const most = Math.max(...relative.flat(), 1);
  const shade = (v) => SHADES[v === 0 ? 0 : Math.min(SHADES.length - 1, 1 + Math.floor((v / most) * (SHADES.length - 1.001)))];
  const marks = relative.flatMap((row, t) => row.map((v, r) =>
    svg("rect", { x: 36 + r * cell[0], y: 4 + t * cell[1], width: cell[0], height: cell[1], fill: shade(v) }, svg("title", {}, `${v} × even`))));
  const labels = [[-180, 0], [-90, 0.25], [0, 0.5], [90, 0.75], [180, 1]].map(([v, f]) =>
    svg("text", { x: 36 + f * columns * cell[0], y: rows * cell[1] + 20, "text-anchor": "middle" }, `${v}`));
  const tilts = [[0, 0], [90, 0.5], [180, 1]].map(([v, f]) => svg("text", { x: 32, y: 10 + f * (rows * cell[1] - 4), "text-anchor": "end" }, `${v}`));
  return h("figure", {}, h("h3", {}, "Where the particles look from"),
    svg("svg", { class: "plot", viewBox: `0 0 ${columns * cell[0] + 60} ${rows * cell[1] + 40}`, role: "img", "aria-label": "angular distribution" }, marks, labels, tilts,
      svg("text", { x: 36 + columns * 6, y: rows * cell[1] + 36, "text-anchor": "middle" }, "rot (°), tilt upwards to 0°")),
    h("figcaption", {}, `${particles} particles${every > 1 ? `, one in ${every} of the file` : ""}; the darkest cell holds ${most.toFixed(1)} times its even share`));
}

function pMaxPicture(counts) {
  const most = Math.max(...counts);
  return h("figure", {}, h("h3", {}, "Largest share of a pose (Pmax)"),
    svg("svg", { class: "plot", viewBox: "0 0 420 150", role: "img", "aria-label": "histogram of Pmax" },
      counts.map((n, k) => svg("rect", { class: "bar-good", x: 10 + k * 20, y: 110 - (100 * n) / most, width: 18, height: (100 * n) / most }, svg("title", {}, `${n}`))),
      [0, 0.5, 1].map((v) => svg("text", { x: 10 + 400 * v, y: 130, "text-anchor": "middle" }, `${v}`))));
}

// Particles where they lie on the micrograph, coloured by how far their defocus is from its mean.
function defocusPart(job, micrographs) {
  const holder = h("div"), caption = h("figcaption");
  const draw = async (name) => {
    const particles = await read(`/api/jobs/${job.name}/micrograph?name=${encodeURIComponent(name)}`);
    if (!particles.length) return holder.replaceChildren(h("p", {}, "No positions in this file."));
    const width = Math.max(...particles.map((p) => p.x)) * 1.03, height = Math.max(...particles.map((p) => p.y)) * 1.03;
    const mean = particles.reduce((s, p) => s + p.defocus, 0) / particles.length;
    const spread = Math.max(...particles.map((p) => Math.abs(p.defocus - mean)), 1);
    const colour = (d) => { const f = (d - mean) / spread; return f > 0 ? `rgb(${Math.round(190 + 60 * f)},${Math.round(120 - 90 * f)},60)` : `rgb(40,${Math.round(130 + 60 * f)},${Math.round(170 - 80 * f)})`; };
    const dots = particles.map((p) => svg("circle", { cx: p.x, cy: height - p.y, r: width / 90, fill: colour(p.defocus) }, svg("title", {}, `${p.defocus.toFixed(0)} Å`)));
    // the micrograph itself is seldom in the project
    const picture = svg("image", { x: 0, y: 0, width, height, opacity: 0.55, preserveAspectRatio: "none" });
    if (micrographs.find((m) => m.name === name)?.here) picture.setAttribute("href", `/sections/${name}?axis=2&most=700`);
    holder.replaceChildren(svg("svg", { class: "plot micrograph", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "defocus over the micrograph" },
      picture, svg("rect", { class: "frame", width, height }), dots));
    caption.textContent = `${particles.length} particles, mean defocus ${(mean / 1e4).toFixed(3)} µm, at most ${spread.toFixed(0)} Å from it (blue less, red more)`;
    return null;
  };
  const choice = h("select", { "aria-label": "micrograph", onchange: (e) => draw(e.target.value) },
    micrographs.map((m) => h("option", { value: m.name }, `${m.name} (${m.particles})`)));
  draw(micrographs[0].name);
  return h("figure", {}, h("h3", {}, "Defocus ", choice), holder, caption);
}

function sectionsPart(maps) {
  const pictures = ["x", "y", "z"].map((axis) => h("figure", {}, h("img", { class: "section", alt: `section perpendicular to ${axis}` }), h("figcaption", {}, axis)));
  const place = h("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, "aria-label": "place of the sections" });
  const choice = h("select", { "aria-label": "map" }, maps.map((m) => h("option", { value: m.path }, m.name)));
  const draw = () => pictures.forEach((p, axis) => { p.querySelector("img").src = `/sections/${choice.value}?axis=${axis}&fraction=${place.value}`; });
  choice.addEventListener("change", draw);
  place.addEventListener("change", draw);
  draw();
  return h("section", {}, h("h3", {}, "Sections ", choice), h("div", { class: "pictures" }, pictures), place);
}

// Maps in the viewer; masks are drawn transparent over the map that is shown.
function mapViewer(maps) {
  const place = h("div", { class: "viewer-place" }), said = h("p", { class: "said", role: "status" });
  const level = h("input", { type: "range", min: 0.2, max: 15, step: 0.1, value: 4, "aria-label": "level, σ" });
  let viewer = null, shown = null;
  const masks = new Set();
  const value = h("output", {}, "4 σ");
  const tell = (statistics) => {
    value.textContent = `${Number(level.value)} σ${statistics ? ` (${(statistics.mean + level.value * statistics.sigma).toPrecision(3)})` : ""}`;
  };
  level.addEventListener("change", async () => {
    if (!viewer || !shown) return;
    await viewer.scene.setLevels(shown, [{ value: Number(level.value), colour: 0x8aa0b4 }]);
    tell(viewer.scene.statistics(shown));
  });
  const show = async (map, pressed) => {
    try {
      viewer ??= await openViewer(place);
      if (!viewer) return;
      if (map.mask) {
        if (masks.delete(map.path)) await viewer.scene.removeMap(map.path);
        else { masks.add(map.path); await viewer.showMap(map.path, { level: 0.5, absolute: true, colour: 0xc98a3a, alpha: 0.35 }); }
        pressed.setAttribute("aria-pressed", masks.has(map.path));
        return;
      }
      if (shown) await viewer.scene.removeMap(shown);
      shown = map.path;
      tell(await viewer.showMap(map.path, { level: Number(level.value) }));
      for (const b of buttons) if (!b.map.mask) b.button.setAttribute("aria-pressed", b.map === map);
      said.textContent = map.name;
    } catch (error) { said.textContent = error.message; }
  };
  const buttons = maps.map((map) => ({ map, button: h("button", { class: "plain", "aria-pressed": "false" }, map.name) }));
  for (const { map, button } of buttons) button.addEventListener("click", () => show(map, button));
  const first = buttons.find((b) => !b.map.mask);
  if (first) setTimeout(() => show(first.map, first.button));
  return h("section", {}, h("h3", {}, "Maps"), h("p", {}, buttons.flatMap((b) => [b.button, " "])), place,
    h("div", { class: "levels" }, h("label", {}, "level ", level, value)), said);
}
