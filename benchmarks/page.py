"""How fast the page shows, and what its server takes: 100 jobs, a map of 256³ points, 50 clients on one job.

    python benchmarks/page.py [--repeat 5]

Starts `burnish serve` on a project that it makes, asks it with headless Chromium over loopback, and prints a table.
Every repetition has an empty cache and a new page. A map is visible when pixels of the viewer show it, asked for
either from the list of jobs, as a person does, or by its address in a page of its own.
Chromium draws in software here, so that what it takes to show a map is an upper limit; so is every time on a machine
that does something else at once: the load average is printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from burnish.core.events import Metrics
from burnish.jobs.folder import Job
from burnish.jobs.pipeline import new_process
from burnish.jobs.project import Project, init_project

TOKEN = "a-token-of-the-benchmark"
SIZE = 256
CLIENTS = 50
# Share of the viewer's picture that is not background.
SHARE = """() => {
  const from = document.querySelector("#viewer[data-shown] canvas");
  if (!from) return 0;
  const to = new OffscreenCanvas(64, 64).getContext("2d");
  to.drawImage(from, 0, 0, 64, 64);
  const { data } = to.getImageData(8, 8, 40, 40);
  let found = 0;
  for (let k = 0; k < data.length; k += 4) found += data[k + 3] > 0 && data[k] + data[k + 1] + data[k + 2] < 690;
  return found / (data.length / 4);
}"""
VISIBLE = 0.05
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def make_project(folder: Path) -> tuple[Project, Job]:
    """100 jobs, of which the first holds the map and the second runs."""
    project = init_project(folder)
    held = Job("postprocess", folder / project.next_name("PostProcess"), {}, project=project)
    held.begin()
    write_map(held.path("postprocess.mrc"))
    held.finish({"resolution": 3.2})
    running = Job("refine", folder / project.next_name("Refine"), {}, project=project)
    running.begin()
    with project.changing() as index:
        for number in range(3, 101):
            index[0] = index[0].with_process(new_process(f"External/job{number:03d}/", "Succeeded"))
    return project, running


def write_map(path: Path) -> None:
    """Atoms of a random walk, blurred, in noise: a surface as busy as that of a protein."""
    rng = np.random.default_rng(0)
    values = rng.normal(scale=0.3, size=(SIZE, SIZE, SIZE)).astype(np.float32)
    at = SIZE / 2 + np.cumsum(rng.normal(scale=1.2, size=(6000, 3)), axis=0)
    at = np.clip(np.abs((at - 60) % 272 - 136) + 60, 60, SIZE - 60)
    offsets = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for centre in at:
        index = np.rint(centre).astype(int) + offsets
        values[tuple(index.T)] += 3.0 * np.exp(-((index - centre) ** 2).sum(1) / 3.0)
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, SIZE, SIZE, SIZE, 2, 0, 0, 0, SIZE, SIZE, SIZE)
    struct.pack_into("<6f3i", header, 40, *[SIZE * 1.0] * 3, 90, 90, 90, 1, 2, 3)
    header[208:214] = b"MAP \x44\x44"
    path.write_bytes(bytes(header) + values.tobytes())


def memory(pid: int, key: str) -> float:
    """Memory of a process by its key in /proc, MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family_seconds() -> float:
    """CPU time of all processes that descend from this one, s: server, browser, their helpers."""
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                parents[int(entry.name)] = int(fields[1])
                spent[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return sum(seconds for pid, seconds in spent.items() if is_ours(pid))


def time_pages(browser: Browser, address: str, repeat: int) -> dict[str, list[float]]:
    """Seconds from asking to: something painted, 100 jobs listed, the map visible; a fresh profile every time."""
    names = ("first paint", "100 jobs listed", "256³ map visible, from the list", "256³ map visible, by its address")
    found: dict[str, list[float]] = {n: [] for name in names for n in (name, f"{name}, CPU")}
    del found["first paint, CPU"]

    def timed(name: str, ask: Callable[[], None]) -> None:
        start, cpu = time.perf_counter(), family_seconds()
        ask()
        found[name].append(time.perf_counter() - start)
        found[f"{name}, CPU"].append(family_seconds() - cpu)

    for _ in range(repeat):
        page = new_page(browser, address)
        timed("100 jobs listed", lambda page=page: list_jobs(page, address))  # type: ignore[misc]
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        while (painted := page.evaluate(paint)) is None:
            page.wait_for_timeout(50)
        found["first paint"].append(painted / 1000)
        timed(names[2], lambda page=page: see_map(page, address))  # type: ignore[misc]
        page.context.close()
        page = new_page(browser, address)
        timed(names[3], lambda page=page: see_map(page, address))  # type: ignore[misc]
        page.context.close()
    return found


def new_page(browser: Browser, address: str) -> Page:
    """A page in a profile of its own, signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_cookies([{"name": "burnish_token", "value": TOKEN, "url": address}])
    return context.new_page()


def list_jobs(page: Page, address: str) -> None:
    """Go to the list and wait for its last row."""
    page.goto(f"{address}/#/")
    page.wait_for_selector("tbody tr:nth-child(100)")


def see_map(page: Page, address: str) -> None:
    """Go to the job with the map and wait until it is drawn."""
    page.goto(f"{address}/#/job/PostProcess/job001")
    page.wait_for_selector("#viewer[data-shown]", timeout=120_000)
    while page.evaluate(SHARE) < VISIBLE:
        page.wait_for_timeout(30)


async def watch(address: str, job: Job, seconds: float) -> tuple[list[float], int]:
    """Delays, s, between an event and its arrival at each of the clients, and how many clients heard everything."""
    delays: list[float] = []
    heard = [0] * CLIENTS

    async def client(number: int, http: httpx.AsyncClient) -> None:
        async with http.stream("GET", f"{address}/api/jobs/Refine/job002/events") as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    for event in json.loads(line[6:]):
                        heard[number] += 1
                        delays.append(time.time() - event["values"]["sent"])

    async with httpx.AsyncClient(
        cookies={"burnish_token": TOKEN}, timeout=None, limits=httpx.Limits(max_connections=CLIENTS + 5)
    ) as http:
        tasks = [asyncio.create_task(client(k, http)) for k in range(CLIENTS)]
        await asyncio.sleep(3.0)
        sent, end = 0, time.time() + seconds
        while time.time() < end:
            job.notify(Metrics("cycle", sent, {"sent": time.time()}))
            sent += 1
            await asyncio.sleep(0.7)
        await asyncio.sleep(2.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return delays, sum(n == sent for n in heard)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project, running = make_project(Path(folder) / "project")
        port = free_port()
        command = [sys.executable, "-m", "burnish.cli.main", "serve", ".", "--port", str(port), "--token", TOKEN]
        server = subprocess.Popen(command, cwd=project.folder, stderr=subprocess.DEVNULL)
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(address)
            base = memory(server.pid, "VmRSS")
            with sync_playwright() as started:
                browser = started.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
                times = time_pages(browser, address, arguments.repeat)
                browser.close()
            before = cpu_seconds(server.pid)
            delays, complete = asyncio.run(watch(address, running, 15.0))
            spent = cpu_seconds(server.pid) - before
            print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; software rendering")
            print("| | best | median |\n|---|---|---|")
            for name, values in times.items():
                print(f"| {name}, s | {min(values):.2f} | {statistics.median(values):.2f} |")
            heard = f"{complete} of {CLIENTS} heard all"
            print(f"| event to each of {CLIENTS} clients, s | {min(delays):.2f} | {statistics.median(delays):.2f} |")
            print(f"slowest {max(delays):.2f} s; {heard}; server {spent:.1f} CPU s in 20 s")
            print(f"server memory {base:.0f} MiB at the start, {memory(server.pid, 'VmHWM'):.0f} MiB at most")
        finally:
            server.terminate()
            server.wait()
            running.finish({})


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str) -> None:
    """Until the server answers."""
    for _ in range(200):
        try:
            httpx.get(address, timeout=1.0)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"{address} does not answer")


if __name__ == "__main__":
    main()
