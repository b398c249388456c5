"""The page in headless Chromium: what a person sees, clicks and types.

BURNISH_SCREENSHOTS names a folder that gets a picture of every page that a test ends with.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import gemmi
import pytest

pytest.importorskip("fastapi", reason="needs the extra burnish[web]")
import uvicorn

from burnish.jobs.folder import Job
from burnish.jobs.project import Project
from burnish.reports.page import Page, Section, Table, render
from burnish.reports.validation import viewer_address, with_viewer_links
from burnish.web.server import create_app
from page_project import make_project

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")

TOKEN = "a-token-of-the-tests"
STATIC = Path(__file__).parents[2] / "src/burnish/web/static"
CHROMIUM = os.environ.get("BURNISH_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 60_000  # ms; a software renderer on a busy machine is slow

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; name one in BURNISH_CHROMIUM"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # pipes of the browser driver
]
needs_viewer = pytest.mark.skipif(
    not (STATIC / "vendor/molstar/molstar.js").is_file(), reason="the viewer is not built; `make web`"
)

Open = Callable[..., "playwright.Page"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("page") / "Rhubarb", jobs=12)


@pytest.fixture(scope="module")
def address(project: Project) -> Iterator[str]:
    app = create_app(project, TOKEN, frozenset({"127.0.0.1"}))
    config = uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: playwright.Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a page of the project; at the end nothing has left this server and nothing has failed in the page."""
    opened: list[playwright.Page] = []
    elsewhere: list[str] = []
    failed: list[str] = []

    def go(path: str, width: int = 1280, height: int = 900) -> playwright.Page:
        page = browser.new_page(viewport={"width": width, "height": height})
        opened.append(page)
        page.set_default_timeout(PATIENCE)
        page.on(
            "request", lambda r: elsewhere.append(r.url) if not r.url.startswith((address, "blob:", "data:")) else 0
        )
        page.on("pageerror", lambda e: failed.append(str(e)))
        page.on("console", lambda m: failed.append(m.text) if "Content Security Policy" in m.text else None)
        page.goto(f"{address}/?token={TOKEN}")
        page.goto(f"{address}/{path}")
        return page

    yield go
    folder = os.environ.get("BURNISH_SCREENSHOTS")
    for number, page in enumerate(opened):
        if folder:
            width = (page.viewport_size or {}).get("width", 0)
            name = re.sub(r"\W+", "_", request.node.name)
            page.screenshot(path=f"{folder}/{name}_{number}_{width}.png", full_page=True)
        page.close()
    assert elsewhere == []
    assert failed == []


def until(page: playwright.Page, true: str) -> None:
    """Wait for an expression to be true; Playwright's own way evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(true):
        assert time.monotonic() < end, f"{true} has not become true"
        page.wait_for_timeout(100)


def test_jobs_by_keyboard(visit: Open) -> None:
    page = visit("#/")
    page.wait_for_selector("tbody tr")
    assert page.locator("tbody tr").count() == 12
    assert page.title() == "Rhubarb — Burnish"
    page.locator("body").press("Tab")
    page.keyboard.press("Tab")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "PostProcess/job002":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('PostProcess/job002')")
    page.goto(page.url.split("#")[0] + "#/graph")
    page.wait_for_selector("svg.graph a")
    assert page.locator("svg.graph a").count() == 12


@pytest.mark.parametrize("path", ["#/", "#/graph", "#/new/refine", "#/job/PostProcess/job002", "#/job/Refine/job001"])
def test_readable_on_a_phone(visit: Open, path: str) -> None:
    page = visit(path, width=390, height=800)
    page.wait_for_selector("h2")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_text_of_files_is_never_markup(visit: Open) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector("pre:has-text('onerror')")
    page.wait_for_selector("dd:has-text('onerror')")
    page.wait_for_selector("ol.walk li:has-text('onerror')")
    assert page.evaluate("window.attacked") is None


def test_names_in_star_files_are_never_markup(visit: Open) -> None:
    page = visit("#/job/CtfRefine/job003")
    page.wait_for_selector("svg.micrograph circle")
    name = page.locator("select[aria-label=micrograph] option:has-text('onerror')").get_attribute("value")
    page.select_option("select[aria-label=micrograph]", name)
    until(page, "document.querySelectorAll('svg.micrograph circle').length === 20")
    assert page.evaluate("window.attacked") is None


def test_a_page_that_was_left_early_never_comes_back(visit: Open) -> None:
    """The list of jobs arrives after its reader has gone on to a job: neither it nor its timer may touch that page."""
    page = visit("#/job/PostProcess/job002")
    page.wait_for_selector("h2:has-text('PostProcess/job002')")
    asked: list[str] = []
    late: list[playwright.Route] = []
    page.route("**/api/jobs", lambda route: route.continue_() if late else late.append(route))
    page.evaluate("location.hash = '#/'")
    while not late:
        page.wait_for_timeout(50)
    page.evaluate("location.hash = '#/job/Refine/job001'")
    page.wait_for_selector("h2:has-text('Refine/job001')")
    page.on("request", lambda r: asked.append(r.url))
    late[0].continue_()
    page.wait_for_timeout(5000)  # the list looks for changes every four seconds
    assert page.locator("h2:has-text('Refine/job001')").count() == 1
    assert [url for url in asked if url.endswith(("/api/jobs", "/api/jobs/Refine/job001"))] == []


@needs_viewer
def test_names_in_models_are_never_markup(visit: Open) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector("#viewer[data-shown=file]")
    box = page.locator("#viewer canvas").bounding_box()
    assert box is not None
    label = page.locator(".msp-highlight-info")
    for step in range(200):  # until the pointer is over an atom
        angle, radius = 0.7 * step, 1.5 * step
        page.mouse.move(
            box["x"] + box["width"] / 2 + radius * math.cos(angle),
            box["y"] + box["height"] / 2 + radius * math.sin(angle),
        )
        page.wait_for_timeout(60)
        if label.count():
            break
    assert re.fullmatch(r"A \d [A-Z]{3} [A-Z0-9]+", label.inner_text().strip())
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.attacked") is None


def test_a_job_leads_to_the_next(visit: Open) -> None:
    page = visit("#/job/Refine/job001")
    page.click("a:has-text('validate')")
    page.wait_for_selector("h2:has-text('New job: validate')")
    assert page.locator("[name=model]").input_value() == "Refine/job001/refined.cif"
    offered = page.locator("#project-files option").evaluate_all("all => all.map(o => o.value)")
    assert "mic0.mrc" in offered
    assert "Refine/job001/refined.cif" in offered


def test_a_form_says_what_does_not_fit(visit: Open, project: Project) -> None:
    before = project.read().job_counter
    page = visit("#/new/refine")
    page.fill("[name=model]", "model.cif")
    page.fill("[name=data]", "data.mtz")
    page.fill("[name=cycles]", "-3")
    page.click("button[type=submit]")
    page.wait_for_selector("[role=alert]:has-text('cycles')")
    assert project.read().job_counter == before


@pytest.mark.skipif(not (STATIC / "vendor/d3/d3.min.js").is_file(), reason="charts are not built; `make web`")
def test_charts_grow_with_the_job(visit: Open, project: Project) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector("figure:has-text('R factors') circle", state="attached")
    page.wait_for_selector("figure:has-text('By resolution') path", state="attached")
    before = page.locator("figure:has-text('R factors') circle").count()
    line = {"event": "metrics", "series": "cycle", "step": 4, "values": {"r_work": 0.18, "r_free": 0.25}}
    with (project.folder / "Refine/job001/events.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    until(page, f"document.querySelectorAll('figure circle').length >= {before + 2}")


def test_a_running_job_is_shown_as_it_ends(visit: Open, project: Project) -> None:
    job = Job("validate", project.folder / project.next_name("Validate"), {}, project=project)
    job.begin()
    name = job.folder.relative_to(project.folder)
    page = visit(f"#/job/{name}")
    page.wait_for_selector("h2:has-text('Running')")
    listed = visit("#/")
    listed.wait_for_selector(f"tr:has-text('{name}'):has-text('Running')")
    job.finish({"clashscore": 3.0})
    page.wait_for_selector("h2:has-text('Succeeded')")
    page.wait_for_selector("dt:has-text('clashscore')")
    listed.wait_for_selector(f"tr:has-text('{name}'):has-text('Succeeded')")


def test_what_is_wrong_with_a_model(visit: Open) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector(".ramachandran circle")
    assert page.locator(".ramachandran circle").count() == 5
    page.locator(".ramachandran circle").nth(2).dispatch_event("click")
    page.wait_for_selector(".said:has-text('A 4 VAL')")
    page.locator("svg[aria-label='chain A'] rect").first.wait_for()
    total = page.locator("ol.walk li").count()
    assert total >= 2
    page.locator("main").press("n")
    page.wait_for_selector(f".said:has-text('1 of {total}')")
    page.keyboard.press("p")
    page.wait_for_selector(f".said:has-text('{total} of {total}')")
    assert page.locator("li[aria-current]").count() == 1


@needs_viewer
@pytest.mark.parametrize("job", ["Refine/job001", "Refine/job001/"])
def test_a_link_from_a_report_goes_to_its_residue(visit: Open, project: Project, job: str) -> None:
    page = visit("#/")  # as the table of validation.html links to it
    with page.expect_response(lambda r: "/maps/" in r.url and "centre=" in r.url) as asked:
        page.goto(page.url.split("#")[0] + f"#/job/{job}?residue=A/4")
    page.wait_for_selector(".said:has-text('A 4 VAL')")
    centre = parse_qs(urlsplit(asked.value.url).query)["centre"][0]
    model = gemmi.read_structure(str(project.folder / "Refine/job001/refined.cif"))
    places = [atom.pos.tolist() for atom in model[0]["A"]["4"][0]]
    x, y, z = (float(v) for v in centre.split(","))
    assert min(math.dist((x, y, z), place) for place in places) < 1.0


@needs_viewer
@pytest.mark.parametrize("way", ["file", "frame"])
def test_a_report_opens_the_page_at_its_residue(visit: Open, project: Project, way: str) -> None:
    report = project.folder / "Refine/job001/report.html"
    table = Table(["Residue", "RSCC"], [["A 4 VAL", ".61"]])
    content = with_viewer_links(Page("x", "y", [Section("", [table])]), viewer_address("Refine/job001/"))
    report.write_text(render(content))
    page = visit("#/job/Refine/job001" if way == "frame" else "files/Refine/job001/report.html")
    if way == "frame":
        page.locator("summary", has_text="Report").click()
    place = page.frame_locator("iframe.report") if way == "frame" else page
    with page.expect_popup() as opened:
        place.locator("a", has_text="A 4 VAL").click()
    shown = opened.value
    shown.set_default_timeout(PATIENCE)
    shown.wait_for_selector(".said:has-text('A 4 VAL')")
    assert shown.evaluate("window.origin") != "null"  # an ordinary page again, whose tools work
    report.unlink()
    shown.close()


@needs_viewer
def test_density_follows_the_place_looked_at(visit: Open) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector("#viewer[data-shown=file]")
    with page.expect_response(lambda r: "/maps/" in r.url) as asked:
        page.locator(".ramachandran circle").nth(3).dispatch_event("click")
    assert asked.value.status == 200
    assert "centre=" in asked.value.url


@needs_viewer
def test_editing_by_hand(visit: Open, project: Project) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector("#viewer[data-shown]")
    page.click("[data-tool=open]")
    page.wait_for_selector("[data-session]")
    name = page.get_attribute(".hand-tools", "data-session")
    page.locator(".ramachandran circle").nth(3).dispatch_event("click")
    page.wait_for_selector(".chi input")
    assert page.locator(".chi input").count() == 2  # phenylalanine
    page.locator("main").press("r")
    page.wait_for_selector("[data-edits='1']")
    page.locator(".chi input").first.fill("60")
    page.click("text=keep χ and refine")
    page.wait_for_selector("[data-edits='2']")
    page.locator("main").press("u")
    page.wait_for_selector("[data-edits='1']")
    page.select_option("select[name=atom]", "CZ")
    page.click("[data-tool=drag]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("[data-previews]")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-edits='2']")
    page.click("[data-tool=finish]")
    page.wait_for_selector(f"h2:has-text('{name}')")
    assert project.find(str(name)).status == "Succeeded"
    moves = (project.folder / str(name) / "moves.jsonl").read_text().splitlines()
    assert [json.loads(m)["kind"] for m in moves] == ["by hand: refine", "by hand: drag"]


class Hand:
    """Tools pressed on the page, each until its edit is there."""

    def __init__(self, page: playwright.Page) -> None:
        self.page = page
        self.edits = 0

    def choose(self, residue: str) -> None:
        bar = 4 * int(residue.split()[1]) - 4  # px from the first
        self.page.locator("svg[aria-label='chain A']").click(position={"x": 22 + bar, "y": 60})
        self.page.wait_for_selector(f".hand-tools .said:has-text('{residue}'):has-text('σ')")

    def go_to_peak(self, number: int) -> None:
        self.page.locator("ol.walk:not(.history) li:has-text('Peak')").nth(number).click()
        self.page.wait_for_timeout(300)

    def press(self, selector: str, change: int = 1) -> None:
        self.page.click(selector)
        self.done(change)

    def done(self, change: int = 1) -> None:
        self.edits += change
        self.page.wait_for_selector(f".hand-tools[data-edits='{self.edits}']:not([aria-busy])")

    def tool(self, name: str, **choices: str) -> None:
        for select, value in choices.items():
            self.page.select_option(f"select[name={select}]", value)
        self.press(f"[data-tool='{name}']")


@needs_viewer
@pytest.mark.slow
def test_every_tool(visit: Open, project: Project) -> None:
    page = visit("#/job/Refine/job001")
    page.wait_for_selector("#viewer[data-shown]")
    page.click("[data-tool=open]")
    page.wait_for_selector("[data-session]")
    name = str(page.get_attribute(".hand-tools", "data-session"))
    hand = Hand(page)
    hand.choose("A 4")
    for extent in ("residue", "zone", "sphere", "chain"):
        hand.tool("refine", extent=extent)
    hand.tool("flip")
    hand.choose("A 5")
    hand.tool("next rotamer")
    hand.tool("best rotamer")
    page.locator(".chi input").first.fill("60")
    hand.press("text=keep χ and refine")
    page.select_option("select[name=atom]", "CZ")
    page.click("[data-tool=drag]")
    box = page.locator(".sheet").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y - 15, steps=4)
    page.wait_for_selector("[data-previews]")  # the model follows while the button is held
    page.mouse.up()
    hand.done()
    hand.choose("A 3")
    hand.tool("mutate", mutate="ILE")
    for label in ("left", "right", "up", "down", "nearer", "farther", "turn left", "turn right"):
        hand.press(f"[aria-label='{label}']")
    hand.tool("fit rigid body", extent="residue")
    hand.choose("A 4")
    hand.tool("rebuild loop", loop="3")
    hand.tool("delete", delete="residue")
    hand.choose("A 3")
    hand.tool("build gap")
    hand.choose("A 5")
    hand.tool("delete", delete="side chain")
    hand.choose("A 7")
    hand.tool("delete", delete="residue")
    hand.choose("A 6")
    hand.tool("add terminal residue", mutate="GLY")
    hand.go_to_peak(0)
    hand.tool("add water")
    hand.go_to_peak(1)
    page.fill("[aria-label='code of a ligand']", "GOL")
    hand.tool("fit ligand")
    before = (project.folder / name / "journal.jsonl").read_text()
    for _ in range(3):
        hand.press("[data-tool=undo]", -1)
    for _ in range(3):
        hand.press("[data-tool=redo]")
    page.click("[data-tool=finish]")
    page.wait_for_selector(f"h2:has-text('{name}')")
    assert (project.folder / name / "journal.jsonl").read_text().startswith(before)
    kinds = [json.loads(m)["kind"] for m in (project.folder / name / "moves.jsonl").read_text().splitlines()]
    assert len(kinds) == hand.edits
    assert set(kinds) == {
        f"by hand: {tool}"
        for tool in (
            "refine", "flip", "next rotamer", "best rotamer", "chi", "drag", "mutate", "move", "fit rigid body",
            "rebuild loop", "delete", "build gap", "add terminal residue", "add water", "fit ligand",
        )
    }  # fmt: skip
    built = gemmi.read_structure(str(project.folder / name / "rebuilt.cif"))
    assert [r.name for r in built[0]["A"].get_polymer()] == ["ALA", "SER", "ILE", "ALA", "PHE", "THR", "GLY"]
    assert {r.name for chain in built[0] for r in chain} >= {"HOH", "GOL"}


@needs_viewer
def test_maps_and_curves_of_images(visit: Open) -> None:
    page = visit("#/job/PostProcess/job002")
    page.wait_for_selector("figure:has-text('Fourier shell correlation') path", state="attached")
    page.wait_for_selector("figure:has-text('Guinier') path", state="attached")
    page.wait_for_selector("#viewer[data-shown$='postprocess.mrc']")
    page.click("button:has-text('mask.mrc')")
    page.wait_for_selector("button[aria-pressed=true]:has-text('mask.mrc')")
    assert page.locator("img.section").count() == 3
    until(page, "[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_views_and_defocus(visit: Open) -> None:
    page = visit("#/job/CtfRefine/job003")
    page.wait_for_selector("figure:has-text('Where the particles look from') rect", state="attached")
    page.wait_for_selector("figure:has-text('Defocus') circle", state="attached")
    assert page.locator("svg.micrograph circle").count() == 20
    assert page.locator("svg.micrograph image").get_attribute("href") == "/sections/mic0.mrc?axis=2&most=700"
    page.select_option("select[aria-label=micrograph]", "mic1.mrc")
    until(page, "!document.querySelector('svg.micrograph image')?.getAttribute('href')")
