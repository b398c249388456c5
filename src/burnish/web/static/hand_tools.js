// The tools of the hand on a chosen residue: each is a command to the session's process, which answers with the model.

import { h, present } from "./dom.js";
import { post, read } from "./server.js";

const AMINO = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split(" ");
const KEYS = { r: "refine", f: "flip", j: "next rotamer", b: "best rotamer", w: "add water", u: "undo", U: "redo", g: "drag" };
const STEP = 0.3, TURN = 10; // Å and ° of one press

export function handTools(job, { viewer, said, look }) {
  let session = null; // name of the job that keeps the edits
  let chosen = null; // { chain, number, name }
  let busy = false;
  let dragging = null;

  const pick = (name, options, label) => h("select", { "aria-label": label, name }, options.map((o) => h("option", { value: o }, o)));
  const extent = pick("extent", ["zone", "residue", "sphere", "chain", "all"], "what is refined");
  const atom = pick("atom", [], "atom");
  const mutateTo = pick("mutate", AMINO, "amino acid");
  const loopSize = pick("loop", [3, 4, 5, 6, 7, 8, 9], "residues of the loop");
  const deleteWhat = pick("delete", ["residue", "side chain", "atom"], "what is deleted");
  const ligand = h("input", { type: "text", size: 5, maxlength: 8, placeholder: "GOL", "aria-label": "code of a ligand" });
  const about = h("p", { class: "said", "aria-live": "polite" });
  const chi = h("div", { class: "chi" });
  const history = h("ol", { class: "walk history", reversed: true, "aria-label": "edits" });

  const place = () => ({ chain: chosen.chain, number: chosen.number });
  const here = () => viewer()?.at ?? null;

  // Ask the session; one committed command at a time, and the model that comes back is shown.
  async function ask(command, { quiet = false } = {}) {
    if (!session) throw new Error("open the tools first");
    const reply = await post(`/api/sessions/${session}`, { command });
    if (reply.model) await viewer()?.setModel(reply.model, "mmcif");
    if (reply.undo !== undefined) buttons.undo.disabled = !reply.undo, buttons.redo.disabled = !reply.redo;
    if (!quiet) tell(reply);
    if (reply.residue) describe(reply.residue);
    return reply;
  }

  function tell(reply) {
    const density = reply.density ? `, density ${reply.density[0].toFixed(1)} → ${reply.density[1].toFixed(1)} σ` : "";
    if (reply.note) said.textContent = reply.note + density;
  }

  async function act(command) {
    if (busy) return null;
    busy = true;
    element.toggleAttribute("aria-busy", true);
    try {
      const reply = await ask(command);
      await viewer()?.scene.setPreview(null);
      if (reply.undo !== undefined) {
        if (command.tool === "undo") history.firstElementChild?.remove();
        else history.prepend(h("li", {}, reply.note ?? command.tool));
        element.dataset.edits = reply.undo;
      }
      return reply;
    } catch (error) { said.textContent = error.message; return null; } finally {
      busy = false;
      element.removeAttribute("aria-busy");
    }
  }

  const onResidue = (make) => () => { if (chosen) return act({ ...place(), ...make() }); said.textContent = "Choose a residue first: click one."; return null; };
  async function moved(make) {
    const reply = await onResidue(make)();
    if (reply?.residue) await look(reply.residue.xyz);
  }
  const atPlace = (make) => async () => {
    const xyz = here();
    if (!xyz) { said.textContent = "Look at a place first."; return; }
    const reply = await act({ xyz, ...make() });
    if (reply?.residue) await look(reply.residue.xyz);
  };
  const tools = {
    refine: onResidue(() => ({ tool: "refine", extent: extent.value })),
    flip: onResidue(() => ({ tool: "flip" })),
    "next rotamer": onResidue(() => ({ tool: "next rotamer" })),
    "best rotamer": onResidue(() => ({ tool: "best rotamer" })),
    mutate: () => moved(() => ({ tool: "mutate", name: mutateTo.value })),
    "add terminal residue": () => moved(() => ({ tool: "add terminal residue", name: mutateTo.value })),
    "rebuild loop": onResidue(() => ({ tool: "rebuild loop", size: Number(loopSize.value) })),
    "build gap": () => moved(() => ({ tool: "build gap" })),
    "fit rigid body": onResidue(() => ({ tool: "fit rigid body", extent: extent.value })),
    "add water": atPlace(() => ({ tool: "add water" })),
    "fit ligand": atPlace(() => ({ tool: "fit ligand", name: (ligand.value || "GOL").toUpperCase() })),
    delete: onResidue(() => ({ tool: "delete", what: deleteWhat.value, ...(deleteWhat.value === "atom" ? { atom: atom.value } : {}) })),
    undo: () => act({ tool: "undo" }),
    redo: () => act({ tool: "redo" }),
    drag: () => drag(),
  };
  const key = Object.fromEntries(Object.entries(KEYS).map(([k, v]) => [v, k]));
  const buttons = Object.fromEntries(Object.keys(tools).map((name) => [name, h("button", {
    class: "plain", onclick: tools[name], "data-tool": name, title: key[name] ? `key ${key[name]}` : null,
  }, name)]));

  // A sheet over the viewer that turns the pointer's way into a pull on the atom; arrow keys do the same.
  function drag() {
    if (dragging) return dragging.end(false);
    const view = viewer();
    const found = chosen && view?.find(chosen.chain, chosen.number);
    const start = found?.atoms[atom.value];
    if (!start) { said.textContent = "Choose an atom to drag: click it."; return null; }
    const sheet = h("div", { class: "sheet", tabindex: 0, "aria-label": `drag ${atom.value}: pointer or arrow keys, Enter keeps, Escape lets go` });
    let goal = start, from = null, sending = false, wanted = false, live = true;
    const name = atom.value;
    const send = async () => {
      if (sending) { wanted = true; return; }
      sending = true;
      do {
        wanted = false;
        try {
          const reply = await ask({ tool: "drag", ...place(), atom: name, xyz: goal, commit: false }, { quiet: true });
          if (live) await view.scene.setPreview(reply.preview);
          element.dataset.previews = Number(element.dataset.previews ?? 0) + 1;
        } catch (error) { said.textContent = error.message; }
      } while (wanted && live);
      sending = false;
    };
    const nudge = (dx, dy) => { const [right, up] = view.scene.axes(); goal = goal.map((g, k) => g + STEP * (dx * right[k] + dy * up[k])); send(); };
    const end = async (keep) => {
      live = false;
      dragging = null;
      sheet.remove();
      buttons.drag.setAttribute("aria-pressed", "false");
      while (sending) await new Promise((done) => setTimeout(done, 20));
      if (keep) await act({ tool: "drag", ...place(), atom: name, xyz: goal });
      else { await view.scene.setPreview(null); await ask({ tool: "cancel" }); }
    };
    sheet.addEventListener("pointerdown", (e) => { from = [e.clientX, e.clientY, goal]; sheet.setPointerCapture(e.pointerId); e.preventDefault(); sheet.focus(); });
    sheet.addEventListener("pointermove", (e) => {
      if (!from) return;
      const shift = view.scene.shift(from[2], e.clientX - from[0], e.clientY - from[1]);
      goal = from[2].map((v, k) => v + shift[k]);
      send();
    });
    sheet.addEventListener("pointerup", () => { if (from) end(true); });
    sheet.addEventListener("keydown", (e) => {
      const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (ways[e.key]) nudge(...ways[e.key]);
      else if (e.key === "Enter") end(true);
      else if (e.key === "Escape") end(false);
      else return;
      e.preventDefault();
      e.stopPropagation();
    });
    view.place.append(sheet);
    sheet.focus();
    buttons.drag.setAttribute("aria-pressed", "true");
    said.textContent = `Pull ${name} with the pointer or the arrow keys; Enter keeps, Escape lets go.`;
    dragging = { end };
    return null;
  }

  // χ sliders: the side chain follows at once; "keep" refines it there.
  function describe(residue) {
    chosen = { chain: residue.chain, number: residue.number, name: residue.name };
    about.textContent = present([`${residue.chain} ${residue.number} ${residue.name}`, residue.density !== undefined && `density ${residue.density.toFixed(1)} σ`,
      residue.ramachandran && `φ, ψ ${residue.ramachandran}`, residue.rotamer && `rotamer ${residue.rotamer} ${residue.rotamer_verdict}`]).join(" · ");
    listAtoms();
    buttons["add terminal residue"].disabled = residue.is_end === false;
    const values = [...(residue.chi_deg ?? [])];
    let sending = false, wanted = false;
    const send = async () => {
      if (sending) { wanted = true; return; }
      sending = true;
      do {
        wanted = false;
        try {
          const reply = await ask({ tool: "chi", ...place(), chi_deg: values, commit: false }, { quiet: true });
          await viewer()?.scene.setPreview(reply.preview);
        } catch (error) { said.textContent = error.message; }
      } while (wanted);
      sending = false;
    };
    const let_go = async () => { await viewer()?.scene.setPreview(null); describe(residue); };
    chi.replaceChildren(...values.map((value, k) => {
      const shown = h("output", {}, `${value.toFixed(0)}°`);
      const slider = h("input", { type: "range", min: -180, max: 180, step: 1, value, "aria-label": `χ${k + 1}` });
      slider.addEventListener("input", () => { values[k] = Number(slider.value); shown.textContent = `${slider.value}°`; send(); });
      return h("label", {}, `χ${k + 1}`, slider, shown);
    }), ...(values.length ? [h("div", { class: "tools-row" },
      h("button", { class: "plain", onclick: () => act({ tool: "chi", ...place(), chi_deg: values }) }, "keep χ and refine"),
      h("button", { class: "plain", onclick: let_go }, "let go"))] : []));
  }

  function listAtoms() {
    const found = chosen && viewer()?.find(chosen.chain, chosen.number);
    const before = atom.value;
    const names = Object.keys(found?.atoms ?? {}).filter((n) => !/^[HD]/.test(n));
    atom.replaceChildren(...names.map((n) => h("option", { value: n }, n)));
    if (names.includes(before)) atom.value = before;
  }

  async function choose(residue, atomName) {
    if (dragging) await dragging.end(false);
    chosen = { chain: residue.chain, number: residue.number, name: residue.name };
    about.textContent = `${residue.chain} ${residue.number} ${residue.name ?? ""}`;
    listAtoms();
    if (atomName) atom.value = atomName;
    if (!session || busy) return;
    try { await ask({ tool: "look", ...place() }, { quiet: true }); } catch (error) { said.textContent = error.message; }
  }

  const press = (dx, dy, dz) => onResidue(() => {
    const [right, up, near] = viewer().scene.axes();
    return { tool: "move", extent: extent.value, shift: right.map((v, k) => STEP * (dx * v + dy * up[k] + dz * near[k])) };
  });
  const turn = (sign) => onResidue(() => ({ tool: "move", extent: extent.value, turn_deg: viewer().scene.axes()[2].map((v) => v * sign * TURN) }));
  const small = (text, label, onclick) => h("button", { class: "plain", "aria-label": label, onclick }, text);

  async function open(resume) {
    said.textContent = "Loading model and map …";
    opener.disabled = true;
    try {
      const maps = job.view.maps.filter((m) => m.kind !== "difference");
      const answer = resume ? await post(`/api/sessions/${job.name}/open`, {})
        : await post("/api/sessions", { model: job.view.model, map: maps[0].path });
      session = answer.job;
      await viewer()?.setModel(answer.model, "mmcif");
      history.replaceChildren(...answer.edits.toReversed().map((e) => h("li", {}, e.note)));
      bench.hidden = false;
      opener.hidden = true;
      element.dataset.session = session;
      element.dataset.edits = answer.undo;
      buttons.undo.disabled = !answer.undo;
      buttons.redo.disabled = !answer.redo;
      said.textContent = `Edits are kept in ${session}.`;
      if (chosen) await choose(chosen, atom.value);
    } catch (error) { said.textContent = error.message; } finally { opener.disabled = false; }
  }
  async function finish() {
    try {
      await post(`/api/sessions/${session}`, { do: "finish" });
      const name = session;
      session = null;
      if (name === job.name) location.reload(); else location.hash = `#/job/${name}`;
    } catch (error) { said.textContent = error.message; }
  }
  async function save() {
    try { await post(`/api/sessions/${session}`, { do: "save" }); said.textContent = `Written: ${session}/rebuilt.cif`; } catch (error) { said.textContent = error.message; }
  }

  // Maps of the model as it stands: it is written, scored against the data by a job of its own, and its maps take the place of these.
  async function newMaps() {
    if (busy) return;
    busy = true;
    element.toggleAttribute("aria-busy", true);
    try {
      said.textContent = "Computing maps from the model as it is …";
      await post(`/api/sessions/${session}`, { do: "save" });
      const { job: name } = await post("/api/start/refine", { ...job.data, model: `${session}/rebuilt.cif`, cycles: 0 });
      let found;
      do {
        await new Promise((done) => setTimeout(done, 700));
        found = await read(`/api/jobs/${name}`);
      } while (["Running", "Scheduled"].includes(found.status));
      if (found.status !== "Succeeded" || !found.view?.maps.length) throw new Error(`${name}: ${found.record?.error ?? found.status}`);
      await post(`/api/sessions/${session}`, { do: "map", map: found.view.maps[0].path });
      await viewer()?.follow(found.view.maps);
      const { r_work: work, r_free: free } = found.record.summary;
      said.textContent = `Maps of ${name}${work === undefined ? "" : `: R-work ${work.toFixed(4)}, R-free ${free.toFixed(4)}`}`;
      element.dataset.maps = name;
    } catch (error) { said.textContent = error.message; } finally {
      busy = false;
      element.removeAttribute("aria-busy");
    }
  }

  const resumable = job.record?.job_type === "edit" && job.status !== "Succeeded";
  const opener = h("button", { onclick: () => open(resumable), "data-tool": "open" }, resumable ? "Go on editing" : "Edit this model");
  const bench = h("div", { hidden: true },
    about,
    h("div", { class: "tools-row" }, buttons.refine, extent, buttons["fit rigid body"]),
    h("div", { class: "tools" }, buttons.flip, buttons["next rotamer"], buttons["best rotamer"], buttons["add water"], buttons.undo, buttons.redo),
    h("div", { class: "tools-row" }, buttons.drag, atom, buttons.mutate, mutateTo, buttons["add terminal residue"]),
    h("div", { class: "tools-row" }, buttons["rebuild loop"], loopSize, buttons["build gap"], buttons["fit ligand"], ligand, buttons.delete, deleteWhat),
    h("div", { class: "tools-row", role: "group", "aria-label": "move as a rigid body" }, "move ", small("←", "left", press(-1, 0, 0)), small("→", "right", press(1, 0, 0)),
      small("↑", "up", press(0, 1, 0)), small("↓", "down", press(0, -1, 0)), small("⊙", "nearer", press(0, 0, 1)), small("⊗", "farther", press(0, 0, -1)),
      small("↺", "turn left", turn(1)), small("↻", "turn right", turn(-1))),
    chi,
    h("details", {}, h("summary", {}, "Edits"), history),
    h("div", { class: "tools-row" }, h("button", { class: "plain", onclick: save }, "write"), " ",
      Object.keys(job.data ?? {}).length ? h("button", { class: "plain", onclick: newMaps, "data-tool": "new maps" }, "new maps") : null, h("button", { onclick: finish, "data-tool": "finish" }, "Finish"),
      h("small", {}, `keys: ${Object.entries(KEYS).map(([k, v]) => `${k} ${v}`).join(", ")}, n and p walk`)));
  const element = h("section", { class: "hand-tools" }, h("h3", {}, "By hand"), job.view.maps.length ? opener : h("p", {}, "No map beside this model."), bench);

  const keys = (event) => {
    if (!session || event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const tool = KEYS[event.key];
    if (!tool) return;
    event.preventDefault();
    tools[tool]();
  };
  document.addEventListener("keydown", keys);
  return {
    element,
    choose,
    ready: async () => { if ((await read("/api/sessions")).includes(job.name)) await open(true); },
    leave: () => document.removeEventListener("keydown", keys),
  };
}
