// What the page needs of Mol*, bundled by `make web`. The viewer that Mol* ships prebuilt evaluates strings as code (its
// movie export does), which our content security policy forbids; this bundle leaves that extension out.

import { createPluginUI } from "molstar/lib/mol-plugin-ui/index.js";
import { renderReact18 } from "molstar/lib/mol-plugin-ui/react18.js";
import { DefaultPluginUISpec } from "molstar/lib/mol-plugin-ui/spec.js";
import { PluginConfig } from "molstar/lib/mol-plugin/config.js";
import { StateTransforms } from "molstar/lib/mol-plugin-state/transforms.js";
import { createVolumeRepresentationParams } from "molstar/lib/mol-plugin-state/helpers/volume-representation-params.js";
import { Volume } from "molstar/lib/mol-model/volume.js";
import { Color } from "molstar/lib/mol-util/color/index.js";
import { Asset } from "molstar/lib/mol-util/assets.js";
import { Vec3 } from "molstar/lib/mol-math/linear-algebra.js";

export async function create(target) {
  const spec = DefaultPluginUISpec();
  return createPluginUI({
    target,
    render: renderReact18,
    spec: {
      ...spec,
      layout: { initial: { isExpanded: false, showControls: false } },
      components: { ...spec.components, remoteState: "none" },
      config: [[PluginConfig.VolumeStreaming.Enabled, false], [PluginConfig.Viewport.ShowAnimation, false]],
    },
  });
}

export async function addModel(plugin, url, format) {
  const data = await plugin.builders.data.download({ url, isBinary: false });
  const trajectory = await plugin.builders.structure.parseTrajectory(data, format);
  await plugin.builders.structure.hierarchy.applyPreset(trajectory, "default");
}

// levels: [{ value, absolute, colour, alpha, wire }]; an absolute level is in the map's own unit, others in sigma.
export async function addMap(plugin, url, levels) {
  const data = await plugin.builders.data.download({ url: Asset.Url(url), isBinary: true });
  const parsed = await plugin.build().to(data).apply(StateTransforms.Data.ParseCcp4, {}, { state: { isGhost: true } }).commit();
  const volume = await plugin.build().to(parsed).apply(StateTransforms.Volume.VolumeFromCcp4, {}).commit();
  const build = plugin.build();
  for (const { value, absolute, colour, alpha, wire } of levels) {
    build.to(volume).apply(StateTransforms.Representation.VolumeRepresentation3D, createVolumeRepresentationParams(plugin, volume.obj?.data, {
      type: "isosurface",
      typeParams: { alpha, isoValue: absolute ? Volume.IsoValue.absolute(value) : Volume.IsoValue.relative(value), visuals: [wire ? "wireframe" : "solid"] },
      color: "uniform",
      colorParams: { value: Color(colour) },
    }));
  }
  await build.commit();
  plugin.managers.camera.reset();
}

export function lookAt(plugin, position, radius) {
  plugin.managers.camera.focusSphere({ center: Vec3.create(...position), radius });
}
