// Maps and models in Mol*, served by this server.

import { h } from "./dom.js";
import { library } from "./server.js";

let plugin = null;
let place = null;

async function open(container) {
  if (plugin && place?.isConnected) return plugin;
  if (!(await library("molstar/molstar.js"))) {
    container.replaceChildren(h("p", {}, "The viewer is not installed; `make web` brings it."));
    return null;
  }
  if (!document.getElementById("molstar-style")) {
    document.head.append(h("link", { id: "molstar-style", rel: "stylesheet", href: "/static/vendor/molstar/molstar.css" }));
  }
  place = h("div", { id: "viewer" });
  container.replaceChildren(place);
  plugin = await window.molstar.create(place);
  return plugin;
}

function levels(file) {
  if (/mask/.test(file.name)) return [{ value: 0.5, absolute: true, colour: 0x7f9fbf, alpha: 0.4 }];
  return [{ value: 3, colour: 0x4a90c2, alpha: 0.7 }];
}

export async function show(container, job, file) {
  const opened = await open(container);
  if (!opened) return;
  const url = new URL(`/files/${file.path}`, location.href).href;
  const suffix = file.name.split(".").pop();
  if (suffix === "cif" || suffix === "pdb") await window.molstar.addModel(opened, url, suffix === "cif" ? "mmcif" : "pdb");
  else await window.molstar.addMap(opened, url, levels(file));
  place.dataset.shown = file.name;
}
