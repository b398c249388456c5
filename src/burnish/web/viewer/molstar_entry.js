// What the page needs of Mol*, bundled by `make web`. The viewer that Mol* ships prebuilt evaluates strings as code (its
// movie export does), which our content security policy forbids; this bundle leaves that extension out.
//
// A `Scene` holds one model, any number of named maps and one preview: a few atoms drawn over the model while they move.

import { createPluginUI } from "molstar/lib/mol-plugin-ui/index.js";
import { renderReact18 } from "molstar/lib/mol-plugin-ui/react18.js";
import { DefaultPluginUISpec } from "molstar/lib/mol-plugin-ui/spec.js";
import { PluginConfig } from "molstar/lib/mol-plugin/config.js";
import { StateTransforms } from "molstar/lib/mol-plugin-state/transforms.js";
import { createVolumeRepresentationParams } from "molstar/lib/mol-plugin-state/helpers/volume-representation-params.js";
import { StructureElement, StructureProperties, Unit } from "molstar/lib/mol-model/structure.js";
import { Volume } from "molstar/lib/mol-model/volume.js";
import { Color } from "molstar/lib/mol-util/color/index.js";
import { Vec3 } from "molstar/lib/mol-math/linear-algebra.js";

const MOST_STICKS = 20000; // atoms; larger models are drawn as ribbons with sticks about the focus

export async function create(target, { background = 0xffffff } = {}) {
  const spec = DefaultPluginUISpec();
  const software = drawsInSoftware();
  const plugin = await createPluginUI({
    target,
    render: renderReact18,
    spec: {
      ...spec,
      layout: { initial: { isExpanded: false, showControls: false } },
      components: { ...spec.components, remoteState: "none" },
      canvas3d: { renderer: { backgroundColor: Color(background) }, ...(software ? PLAIN : {}) },
      config: [
        [PluginConfig.VolumeStreaming.Enabled, false], [PluginConfig.Viewport.ShowAnimation, false],
        ...(software ? [[PluginConfig.General.Transparency, "blended"], [PluginConfig.General.DisableAntialiasing, true]] : []),
      ],
    },
  });
  // Mol* shows its labels as markup, with names from the model's file in them
  plugin.managers.lociLabels.clearProviders();
  plugin.managers.lociLabels.addProvider({ label: labelOf });
  return new Scene(plugin, !software);
}

const MARKUP = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

// What the pointer is over, as text.
function labelOf(loci) {
  if (!StructureElement.Loci.is(loci) || StructureElement.Loci.isEmpty(loci)) return "";
  const atom = describe(StructureElement.Loci.getFirstLocation(loci));
  return atom ? `${atom.chain} ${atom.number} ${atom.name} ${atom.atom}`.replace(/[&<>"']/g, (c) => MARKUP[c]) : "";
}

// Without a graphics card every picture costs a good part of a second of CPU: no smoothing over many pictures, no shades, no
// flight of the camera to where it is reset.
const OFF = { name: "off", params: {} };
const PLAIN = {
  multiSample: { mode: "off" },
  postprocessing: { enabled: false, occlusion: OFF, shadow: OFF, outline: OFF, antialiasing: OFF },
  camera: { helper: { axes: OFF } },
  cameraResetDurationMs: 0,
};

// Asked of a canvas of its own, before there is anything to draw: an answer waits until all that was asked for is drawn.
function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const names = gl?.getExtension("WEBGL_debug_renderer_info");
  const found = Boolean(names) && /swiftshader|llvmpipe|software/i.test(gl.getParameter(names.UNMASKED_RENDERER_WEBGL));
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return found;
}

class Scene {
  constructor(plugin, useGpu = true) {
    this.plugin = plugin;
    this.useGpu = useGpu; // for finding surfaces; in software that takes many times as long as on the CPU
    this.flight = useGpu ? 250 : 0; // ms of the camera's way
    this.model = null; // { data, structure, format }
    this.preview = null;
    this.maps = new Map();
    this.heard = [];
    plugin.behaviors.interaction.click.subscribe(({ current }) => {
      if (!StructureElement.Loci.is(current.loci) || StructureElement.Loci.isEmpty(current.loci)) return;
      const atom = describe(StructureElement.Loci.getFirstLocation(current.loci));
      for (const call of this.heard) call(atom);
    });
  }

  onAtom(call) { this.heard.push(call); }

  // Text of an mmCIF or PDB file; a second call changes the model in place, the view stays.
  async setModel(text, format) {
    if (this.model && this.model.format === format) {
      await this.plugin.build().to(this.model.data).update({ data: text, label: "model" }).commit();
      return;
    }
    if (this.model) await this.plugin.build().delete(this.model.data).commit();
    this.model = await this.build(text, format, { colour: null, size: 0.1 });
    this.plugin.managers.camera.reset();
  }

  // A few atoms in PDB format over the model; null takes them away.
  async setPreview(text) {
    if (text === null) {
      if (this.preview) await this.plugin.build().delete(this.preview.data).commit();
      this.preview = null;
    } else if (this.preview) {
      await this.plugin.build().to(this.preview.data).update({ data: text, label: "preview" }).commit();
    } else this.preview = await this.build(text, "pdb", { colour: 0xd9a400, size: 0.16 });
  }

  async build(text, format, { colour, size }) {
    const { builders } = this.plugin;
    const data = await builders.data.rawData({ data: text, label: "model" }, { state: { isGhost: true } });
    const trajectory = await builders.structure.parseTrajectory(data, format);
    const model = await builders.structure.createModel(trajectory);
    const structure = await builders.structure.createStructure(model, { name: "model", params: {} });
    const all = await builders.structure.tryCreateComponentStatic(structure, "all");
    const count = structure.cell.obj?.data.elementCount ?? 0;
    if (count > MOST_STICKS) await builders.structure.representation.addRepresentation(all, { type: "cartoon" });
    else {
      await builders.structure.representation.addRepresentation(all, {
        type: "ball-and-stick",
        typeParams: { sizeFactor: size, sizeAspectRatio: 0.9, ignoreHydrogens: true, quality: count > 3000 ? "lower" : "auto" },
        ...(colour === null ? { color: "element-symbol", colorParams: { carbonColor: { name: "uniform", params: { value: Color(0xb8860b) } } } }
          : { color: "uniform", colorParams: { value: Color(colour) } }),
      });
    }
    return { data: data.ref, structure, format };
  }

  // bytes: a CCP4 map. levels: [{ value, absolute, colour, alpha, wire }]. A known key takes the new values in place.
  async setMap(key, bytes, levels) {
    const known = this.maps.get(key);
    if (known) {
      await this.plugin.build().to(known.data).update({ data: bytes, label: key }).commit();
      return;
    }
    const data = await this.plugin.builders.data.rawData({ data: bytes, label: key }, { state: { isGhost: true } });
    const parsed = await this.plugin.build().to(data).apply(StateTransforms.Data.ParseCcp4, {}, { state: { isGhost: true } }).commit();
    const volume = await this.plugin.build().to(parsed).apply(StateTransforms.Volume.VolumeFromCcp4, {}).commit();
    const build = this.plugin.build();
    const surfaces = levels.map((level) => build.to(volume)
      .apply(StateTransforms.Representation.VolumeRepresentation3D, surface(this, volume, level)).ref);
    await build.commit();
    this.maps.set(key, { data: data.ref, volume, surfaces, levels });
  }

  async setLevels(key, levels) {
    const map = this.maps.get(key);
    if (!map) return;
    const build = this.plugin.build();
    map.surfaces.forEach((ref, k) => build.to(ref).update(surface(this, map.volume, levels[k])));
    map.levels = levels;
    await build.commit();
  }

  async removeMap(key) {
    const map = this.maps.get(key);
    if (!map) return;
    this.maps.delete(key);
    await this.plugin.build().delete(map.data).commit();
  }

  statistics(key) { return this.maps.get(key)?.volume.cell?.obj?.data.grid.stats ?? null; }

  lookAt(position, radius = 8) {
    this.plugin.managers.camera.focusSphere({ center: Vec3.create(...position), radius }, { durationMs: this.flight, minRadius: 4, extraRadius: 0 });
  }

  reset() { this.plugin.managers.camera.reset(undefined, this.flight); }

  // Every residue of the model: { chain, number, name, xyz, atoms: { name: xyz } }, in file order.
  residues() {
    const data = this.model?.structure.cell?.obj?.data;
    if (!data) return [];
    const { atomicHierarchy: h, atomicConformation: c } = data.models[0];
    const found = [];
    const chainOf = h.chainAtomSegments.index;
    const { offsets } = h.residueAtomSegments;
    for (let r = 0; r < offsets.length - 1; r++) {
      const atoms = {};
      for (let a = offsets[r]; a < offsets[r + 1]; a++) atoms[h.atoms.auth_atom_id.value(a)] ??= [c.x[a], c.y[a], c.z[a]];
      const places = Object.values(atoms);
      const centre = [0, 1, 2].map((k) => places.reduce((sum, p) => sum + p[k], 0) / places.length);
      found.push({
        chain: h.chains.auth_asym_id.value(chainOf[offsets[r]]),
        number: `${h.residues.auth_seq_id.value(r)}${h.residues.pdbx_PDB_ins_code.value(r) ?? ""}`.trim(),
        name: h.atoms.auth_comp_id.value(offsets[r]),
        xyz: atoms.CA ?? atoms["C1'"] ?? centre,
        atoms,
      });
    }
    return found;
  }

  // Å that `dx` right and `dy` down on the screen, in CSS pixels, are at the depth of a position.
  shift(position, dx, dy) {
    const { camera } = this.plugin.canvas3d;
    const scale = camera.getPixelSize(Vec3.create(...position)) * (globalThis.devicePixelRatio ?? 1);
    const v = camera.view;
    return [0, 1, 2].map((k) => (v[4 * k] * dx - v[4 * k + 1] * dy) * scale);
  }

  // Unit vectors to the right, upwards and towards the eye.
  axes() {
    const v = this.plugin.canvas3d.camera.view;
    return [0, 1, 2].map((row) => [v[row], v[4 + row], v[8 + row]]);
  }

  handleResize() { this.plugin.layout.events.updated.next(undefined); this.plugin.canvas3d?.handleResize(); }
}

function describe(location) {
  const { atom, residue, chain } = StructureProperties;
  if (!Unit.isAtomic(location.unit)) return null;
  return {
    chain: chain.auth_asym_id(location),
    number: `${residue.auth_seq_id(location)}${residue.pdbx_PDB_ins_code(location) ?? ""}`.trim(),
    name: atom.auth_comp_id(location),
    atom: atom.auth_atom_id(location),
    xyz: [atom.x(location), atom.y(location), atom.z(location)],
  };
}

function surface({ plugin, useGpu }, volume, { value, absolute, colour, alpha = 1, wire = false }) {
  return createVolumeRepresentationParams(plugin, volume.cell?.obj?.data ?? volume.obj?.data, {
    type: "isosurface",
    typeParams: {
      alpha, isoValue: absolute ? Volume.IsoValue.absolute(value) : Volume.IsoValue.relative(value),
      visuals: [wire ? "wireframe" : "solid"], sizeFactor: 1, tryUseGpu: useGpu,
    },
    color: "uniform",
    colorParams: { value: Color(colour) },
  });
}
