// Maps and models in Mol*, served by this server: one viewer on a page, whole maps coarse, and density about a place.

import { h } from "./dom.js";
import { library } from "./server.js";

const BLUE = 0x3f7fbf, GREEN = 0x2a9d3a, RED = 0xc22f2f, GREY = 0x8aa0b4;
const RADIUS = 14; // Å of density about the place looked at
let style = null;

export const suffix = (name) => name.split(".").pop().toLowerCase();
export const isModel = (name) => ["cif", "pdb"].includes(suffix(name));

// A viewer in `container`; null, with a line of text in its place, where Mol* is not installed.
export async function openViewer(container) {
  if (!(await library("molstar/molstar.js"))) {
    container.replaceChildren(h("p", {}, "The viewer is not installed; `make web` brings it."));
    return null;
  }
  style ??= document.head.appendChild(h("link", { rel: "stylesheet", href: "/static/vendor/molstar/molstar.css" }));
  const place = h("div", { id: "viewer", role: "application", "aria-label": "three-dimensional view of model and maps" });
  container.replaceChildren(place);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  try {
    return new Viewer(await window.molstar.create(place, { background: dark ? 0x0d1218 : 0xffffff }), place);
  } catch (error) {
    container.replaceChildren(h("p", { class: "error" }, `The viewer does not start here: ${error.message}`));
    return null;
  }
}

const early = new Map(); // maps asked for before the viewer was there to draw them

// Ask for the viewer's program and, if one is named, for a whole map, while the rest of the page is still being made.
export function prepare(path) {
  library("molstar/molstar.js");
  if (path) early.set(whole(path), fetch(whole(path)));
}
const whole = (path) => `/maps/${path}?kind=overview`;

async function bytes(url) {
  const response = await (early.get(url) ?? fetch(url));
  early.delete(url);
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Error(said.error ?? said.detail ?? response.statusText);
  }
  return new Uint8Array(await response.arrayBuffer());
}

class Viewer {
  constructor(scene, place) {
    this.scene = scene;
    this.place = place;
    this.followed = []; // maps drawn about the place looked at: { path, kind, key }
    this.level = 1.5;
    this.differenceLevel = 3;
    this.at = null;
    this.waiting = null;
    this.index = new Map();
  }

  async showModel(path) {
    const response = await fetch(`/files/${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.statusText}`);
    await this.setModel(await response.text(), suffix(path) === "pdb" ? "pdb" : "mmcif");
    this.place.dataset.model = path;
  }

  async setModel(text, format) {
    await this.scene.setModel(text, format);
    this.index = new Map(this.scene.residues().map((r) => [`${r.chain} ${r.number}`, r]));
  }

  residues() { return [...this.index.values()]; }
  find(chain, number) { return this.index.get(`${chain} ${number}`); }

  levels(kind) {
    if (kind === "difference") {
      return [{ value: this.differenceLevel, colour: GREEN, wire: true }, { value: -this.differenceLevel, colour: RED, wire: true }];
    }
    return [{ value: this.level, colour: BLUE, wire: true }];
  }

  // Show density about wherever one looks from now on. maps: [{ path, kind }], kind density, difference or file.
  async follow(maps) {
    const before = this.followed;
    this.followed = maps.map((m) => ({ ...m, key: `${m.path} ${m.kind}` }));
    for (const { key } of before) if (!this.followed.some((m) => m.key === key)) await this.scene.removeMap(key);
    if (this.at) await this.drawBoxes();
  }

  async lookAt(xyz, radius = 8) {
    this.at = xyz;
    this.scene.lookAt(xyz, radius);
    await this.drawBoxes();
  }

  // One redraw at a time; of places asked for meanwhile only the last is drawn.
  async drawBoxes() {
    if (this.waiting) { this.again = true; return this.waiting; }
    this.waiting = (async () => {
      do {
        this.again = false;
        const [x, y, z] = this.at;
        await Promise.all(this.followed.map(async ({ path, kind, key }) => {
          const where = `centre=${x.toFixed(2)},${y.toFixed(2)},${z.toFixed(2)}&radius=${RADIUS}`;
          await this.scene.setMap(key, await bytes(`/maps/${path}?kind=${kind}&${where}`), this.levels(kind));
        }));
      } while (this.again);
    })();
    try { await this.waiting; } finally { this.waiting = null; }
    this.place.dataset.shown = this.followed.map((m) => m.kind).join(" ");
  }

  async setLevel(level, differenceLevel) {
    Object.assign(this, { level, differenceLevel });
    await Promise.all(this.followed.map(({ key, kind }) => this.scene.setLevels(key, this.levels(kind))));
  }

  // A whole map, coarse; masks at half height, maps at a level in rms deviations.
  async showMap(path, { level = 3, colour = GREY, alpha = 1, absolute = false, wire = false } = {}) {
    const levels = [{ value: level, absolute, colour, alpha, wire }];
    await this.scene.setMap(path, await bytes(whole(path)), levels);
    this.scene.reset();
    this.place.dataset.shown = path;
    return this.scene.statistics(path);
  }
}
