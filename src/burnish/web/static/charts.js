// Charts of a job's numbers as they come: one line for each name, one chart for each group of like numbers.

import { h } from "./dom.js";
import { library } from "./server.js";

export { groups } from "./series.js";

export async function ready() {
  return (await library("d3/d3.min.js")) && (await library("plot/plot.umd.min.js"));
}

// points: [{series, step, name, value}]
export function lines(points, { title, x, y, anyStep = false, dots = true, rules = [] }) {
  const { Plot } = window;
  const first = Math.min(...points.map((p) => p.step)), last = Math.max(first + 1, ...points.map((p) => p.step));
  const chart = Plot.plot({
    width: Math.min(520, document.documentElement.clientWidth - 24), height: 260, marginLeft: 56,
    style: { background: "transparent", color: "currentColor" },
    x: { label: x, ...(anyStep ? {} : { domain: [first, last], tickFormat: (d) => (Number.isInteger(d) ? String(d) : "") }) },
    y: { label: y, grid: true, nice: true },
    color: { legend: true, scheme: "observable10" },
    marks: [
      Plot.ruleY(rules, { strokeOpacity: 0.4, strokeDasharray: "4 3" }),
      Plot.lineY(points, { x: "step", y: "value", stroke: "name", z: "name" }),
      dots ? Plot.dot(points, { x: "step", y: "value", fill: "name", z: "name", r: 2.5, tip: true }) : null,
    ],
  });
  return h("figure", { style: "margin: 0" }, h("h3", {}, title), chart);
}
