// The pages: jobs, graph, one job, a new job. The address after # says which.

import { groups, lines, ready } from "./charts.js";
import { h, number, present, svg, table } from "./dom.js";
import { follow, post, read } from "./server.js";
import { prepare } from "./viewer.js";
import { imagesPart } from "./images_page.js";
import { modelPart, shellChart } from "./model_page.js";

const main = document.getElementById("main");

// One page from its address to the next one. A page asks the server before it draws, and whoever moves on meanwhile
// must neither see it afterwards nor keep its timers.
class Visit {
  ended = false;
  #endings = [];
  fill(...content) { if (!this.ended) main.replaceChildren(...present(content)); }
  atEnd(action) { if (this.ended) action(); else this.#endings.push(action); }
  end() {
    this.ended = true;
    for (const action of this.#endings.splice(0)) action();
  }
}
let visit = new Visit();

function time(text) {
  return text ? new Date(text).toLocaleString([], { dateStyle: "short", timeStyle: "short" }) : "";
}

function took({ started, ended }) {
  if (!started || !ended) return "";
  const seconds = (new Date(ended) - new Date(started)) / 1000;
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const link = (name) => h("a", { href: `#/job/${name}` }, name);
const state = (status) => h("span", { class: `state-${status}` }, status);

// Show the list anew when it changes; whoever moves along it by keyboard stays where they are.
function renew(jobs, visit) {
  const before = JSON.stringify(jobs);
  const timer = setInterval(async () => {
    const now = await read("/api/jobs").catch(() => jobs);
    if (visit.ended || document.hidden || JSON.stringify(now) === before) return;
    const at = document.activeElement?.getAttribute("href");
    await route();
    for (const a of main.querySelectorAll("a")) if (at && a.getAttribute("href") === at) a.focus({ preventScroll: true });
  }, 4000);
  visit.atEnd(() => clearInterval(timer));
}

async function jobsPage(visit) {
  const jobs = await read("/api/jobs");
  renew(jobs, visit);
  const rows = jobs.toReversed().map((j) => [
    h("span", {}, link(j.name), j.alias ? h("small", {}, ` ${j.alias}`) : null), state(j.status), time(j.started), took(j)]);
  visit.fill(h("h2", {}, "Jobs"),
    rows.length ? table(["Job", "State", "Started", "Took"], rows)
      : h("p", {}, "No jobs yet. ", h("a", { href: "#/new" }, "Start one"), ", or run a command in this folder."));
}

async function graphPage(visit) {
  const jobs = await read("/api/jobs");
  renew(jobs, visit);
  const depth = new Map();
  for (const j of jobs) depth.set(j.name, 1 + Math.max(-1, ...j.previous.map((p) => depth.get(p) ?? -1)));
  const rows = new Map();
  const place = new Map(jobs.map((j) => {
    const column = depth.get(j.name);
    const row = rows.get(column) ?? 0;
    rows.set(column, row + 1);
    return [j.name, { x: 10 + column * 190, y: 10 + row * 54 }];
  }));
  const width = 200 + 190 * Math.max(0, ...depth.values());
  const height = 20 + 54 * Math.max(1, ...rows.values());
  const edges = jobs.flatMap((j) => j.previous.filter((p) => place.has(p)).map((p) => {
    const [a, b] = [place.get(p), place.get(j.name)];
    return svg("path", { d: `M${a.x + 160},${a.y + 20} C${a.x + 180},${a.y + 20} ${b.x - 20},${b.y + 20} ${b.x},${b.y + 20}` });
  }));
  const boxes = jobs.map((j) => {
    const { x, y } = place.get(j.name);
    const text = svg("text", { x: x + 8, y: y + 17 }, j.name);
    const under = svg("text", { x: x + 8, y: y + 33 }, j.alias ? `${j.alias} · ${j.status}` : j.status);
    return svg("a", { href: `#/job/${j.name}` }, svg("rect", { x, y, width: 160, height: 40, rx: 5, class: `box-${j.status}` }), text, under);
  });
  visit.fill(h("h2", {}, "How the jobs follow from each other"),
    h("div", { class: "scroll" }, svg("svg", { class: "graph", width, height, role: "img", "aria-label": "job graph" }, edges, boxes)));
}

// A report has no scripts; its links open this page in another tab.
const REPORT_SANDBOX = "allow-same-origin allow-popups allow-popups-to-escape-sandbox";

async function jobPage(visit, name, residue) {
  const job = await read(`/api/jobs/${name}`);
  const record = job.record;
  const live = { metrics: [], log: [], shells: job.statistics?.shells ?? [] };
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "progress" });
  const charts = h("div", { class: "columns" });
  const logHeading = h("h3", { hidden: true }, "Log");
  const log = h("pre", { tabindex: 0, "aria-label": "log", hidden: true });
  if (job.view || job.first_map) prepare(job.view ? null : job.first_map);
  const pictures = read(`/api/jobs/${name}/images`);
  const withCharts = await ready();
  const model = await modelPart(job, { withCharts, residue });
  const images = imagesPart(job, await pictures, { withCharts, maps: !job.view });

  const draw = () => {
    if (!withCharts) return;
    charts.replaceChildren(...present([
      [...groups(live.metrics)].map(([title, g]) => lines(g.points, { title, x: g.series, y: "" })), shellChart(live.shells)]));
  };
  const stop = follow(name, (events) => {
    for (const e of events) {
      if (e.event === "metrics") live.metrics.push(e);
      else if (e.event === "message") live.log.push(`${e.level === "warning" ? "warning: " : ""}${e.text}`);
      else if (e.event === "shells") live.shells = rowsOf(e.columns);
      else if (e.event === "progress" && e.total) Object.assign(bar, { hidden: false, value: e.done / e.total, title: e.stage });
    }
    log.hidden = logHeading.hidden = live.log.length === 0;
    log.textContent = live.log.join("\n");
    draw();
  });
  draw();
  // a job that starts or ends is shown anew; hand edits end by their own button
  const watched = ["Scheduled", "Running"].includes(job.status) && record?.job_type !== "edit";
  const watch = watched ? setInterval(async () => {
    const { status } = await read(`/api/jobs/${name}/status`).catch(() => job);
    if (status !== job.status && !visit.ended) route();
  }, 2000) : 0;
  visit.atEnd(() => { clearInterval(watch); stop(); model.leave(); });

  const report = job.files.find((f) => f.name.endsWith(".html"));
  visit.fill(
    h("h2", {}, name, job.alias ? ` (${job.alias})` : "", " — ", state(job.status)),
    record?.error ? h("p", { class: "error" }, record.error) : null,
    job.status === "Running" ? bar : null,
    job.status === "Running" && /^https?:\/\//.test(record?.dashboard ?? "")
      ? h("p", {}, h("a", { href: record.dashboard, target: "_blank", rel: "noopener noreferrer" }, "Dask's dashboard"), " of the workers") : null,
    job.results.length ? h("dl", { class: "results" }, job.results.map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", typeof v === "number" ? { class: "whole" } : {}, number(v))))) : null,
    model.element,
    images,
    charts,
    report ? h("details", {}, h("summary", {}, "Report"), h("iframe", { class: "report", sandbox: REPORT_SANDBOX, src: `/files/${report.path}`, title: "report", loading: "lazy" })) : null,
    logHeading, log,
    h("div", { class: "columns" },
      h("section", {}, h("h3", {}, "Before and after"),
        h("p", {}, "from ", job.previous.length ? job.previous.flatMap((n) => [link(n), " "]) : "files outside the project"),
        h("p", {}, "used by ", job.next.length ? job.next.flatMap((n) => [link(n), " "]) : "no job yet"),
        job.starts.length ? h("p", {}, "go on with ", job.starts.map((n) => [h("a", { href: `#/new/${n.command}?${new URLSearchParams(Object.entries(n.options).map(([k, v]) => [k, Array.isArray(v) ? v.join(" ") : v]))}` }, n.command), " "])) : null,
        h("h3", {}, "Files"),
        table(["File", "Size"], job.files.map((f) => [h("a", { href: `/files/${f.path}`, target: "_blank", rel: "noopener" }, f.name), size(f.size)]))),
      record ? h("section", {}, h("h3", {}, "Options"),
        table(["Option", "Value"], Object.entries(record.options).filter(([, v]) => v !== null && v !== "" && !(Array.isArray(v) && !v.length))
          .map(([k, v]) => [k.replaceAll("_", "-"), String(v)]))) : null));
}

// { d_min: [..], r_work: [..] } → [{ d_min, r_work }]
function rowsOf(columns) {
  const names = Object.keys(columns);
  return (columns[names[0]] ?? []).map((_, k) => Object.fromEntries(names.map((n) => [n, columns[n][k]])));
}

// `given`: a value from the address; file fields offer the project's files.
function field(f, given) {
  const choices = f.enum ?? f.anyOf?.find((a) => a.enum)?.enum;
  const types = f.type ? [f.type] : (f.anyOf ?? []).map((a) => a.type);
  const attributes = { name: f.name, id: `field-${f.name}`, required: f.required };
  const start = given ?? f.default ?? "";
  let control;
  if (types.includes("boolean")) control = h("input", { ...attributes, required: false, type: "checkbox", checked: String(start) === "true" });
  else if (choices) control = h("select", attributes, choices.map((c) => h("option", { selected: c === start }, c)));
  else if (types.includes("number") || types.includes("integer")) {
    control = h("input", { ...attributes, type: "number", step: types.includes("integer") ? 1 : "any", value: start });
  } else {
    const isFile = [f, ...(f.anyOf ?? []), ...(f.items ? [f.items] : [])].some((t) => t.format === "path");
    control = h("input", { ...attributes, type: "text", value: Array.isArray(start) ? start.join(" ") : start, list: isFile ? "project-files" : null });
  }
  control.dataset.kind = types.includes("array") ? "array" : types.includes("boolean") ? "boolean"
    : types.includes("number") || types.includes("integer") ? "number" : "text";
  return h("div", { class: "field" }, h("label", { for: `field-${f.name}` }, f.name.replaceAll("_", " ")), control, h("small", {}, f.description ?? ""));
}

async function newPage(visit, chosen, given) {
  const [forms, files] = await Promise.all([read("/api/forms"), read("/api/files")]);
  const form = forms.find((f) => f.name === chosen);
  const choice = h("p", { class: "choice" }, forms.map((f) => [h("a", { href: `#/new/${f.name}`, "aria-current": f === form ? "page" : null }, f.name), " "]));
  if (!form) return visit.fill(h("h2", {}, "New job"), table(["Job", "What it does"], forms.map((f) => [h("a", { href: `#/new/${f.name}` }, f.name), f.summary])));
  const said = h("p", { class: "error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    const given = {};
    for (const control of event.target.querySelectorAll("[name]")) {
      const { kind } = control.dataset;
      if (kind === "boolean") given[control.name] = control.checked;
      else if (control.value === "") continue;
      else given[control.name] = kind === "number" ? Number(control.value) : kind === "array" ? control.value.split(/\s+/) : control.value;
    }
    try {
      const { job } = await post(`/api/start/${form.name}`, given);
      location.hash = `#/job/${job}`;
    } catch (error) { said.textContent = error.message; }
  };
  const isFirst = (f) => f.required || given.has(f.name);
  const needed = form.fields.filter(isFirst);
  const others = form.fields.filter((f) => !isFirst(f));
  const make = (f) => field(f, given.get(f.name));
  visit.fill(h("h2", {}, `New job: ${form.name}`), choice, h("p", {}, form.summary),
    h("form", { onsubmit: submit }, h("datalist", { id: "project-files" }, files.map((f) => h("option", { value: f }))), needed.map(make),
      h("details", { open: needed.length < 2 }, h("summary", {}, `${others.length} more options`), others.map(make)),
      said, h("p", {}, h("button", { type: "submit" }, "Start"))));
}

async function route() {
  visit.end();
  const here = visit = new Visit();
  const [address, query] = location.hash.split("?");
  const [, page = "", ...rest] = address.replace(/\/+$/, "").split("/");  // RELION's names of jobs end in "/"
  try {
    const asked = new URLSearchParams(query);
    if (page === "job") await jobPage(here, rest.join("/"), asked.get("residue"));
    else if (page === "graph") await graphPage(here);
    else if (page === "new") await newPage(here, rest[0], asked);
    else await jobsPage(here);
  } catch (error) {
    here.fill(h("p", { class: "error", role: "alert" }, error.message));
  }
  if (!here.ended) main.focus({ preventScroll: true });
}

addEventListener("hashchange", route);
read("/api/project").then((p) => { document.getElementById("project").textContent = p.name; document.title = `${p.name} — Burnish`; });
route();
