"""Every block of commands of the documentation runs, page by page; the site builds without warnings.

A page is run from top to bottom: ```bash and ```python blocks are executed, a block with {file=NAME} is written to
NAME, other blocks (```text) are shown only. A page whose front matter says `execute: slow` is a slow test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)
ARCHIVE = "moorhen-0.22.7.tgz"


def is_slow(page: Path) -> bool:
    return re.match(r"---\nexecute: slow\n---\n", page.read_text()) is not None


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Information string, content and line of the fenced blocks that do something."""
    tokens = MarkdownIt().parse(page.read_text())
    fences = [(t.info.strip(), t.content, (t.map or [0])[0] + 1) for t in tokens if t.type == "fence"]
    return [f for f in fences if f[0] in ("bash", "python") or "{file=" in f[0]]


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """An empty folder to work in, with `burnish` and `python` of this environment first in the path."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, arguments in (("burnish", " -m burnish.cli.main"), ("python", "")):
        (shims / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        (shims / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("BURNISH_SOURCE", str(ROOT))
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] * is_slow(p), id=str(p.relative_to(ROOT))) for p in PAGES if blocks(p)],
)
@pytest.mark.timeout(3000)
def test_page_runs(page, commands):
    if "demo.py" in page.read_text():
        with_data(commands)
    for kind, content, line in blocks(page):
        where = f"{page.name}, line {line}"
        if "{file=" in kind:
            (commands / kind.partition("{file=")[2].rstrip("}")).write_text(content)
            continue
        command = ["bash", "-euo", "pipefail", "-c", content] if kind == "bash" else ["python", "-c", content]
        ended = subprocess.run(command, cwd=commands, capture_output=True, text=True)
        assert ended.returncode == 0, f"{where}: {ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"


def with_data(folder: Path) -> None:
    """Put the tutorial's data where `tools/demo.py` looks for what it has fetched before; skip without a registry."""
    (folder / "data").mkdir()
    package = ARCHIVE.removesuffix(".tgz").replace("moorhen-", "moorhen@")
    command = ["npm", "pack", package, "--silent", "--fetch-retries=0", "--pack-destination", str(folder / "data")]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{package} cannot be fetched from the npm registry: {error}")


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs/index.md").read_text()
    for page in PAGES:
        name = str(page.relative_to(ROOT / "docs").with_suffix(""))
        assert name == "index" or f"\n{name}\n" in index, name


def test_site_builds_without_warnings(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "concepts/models.html").read_text()
    assert "<math" in page and "cdn" not in page
    commands = (tmp_path / "reference/commands.html").read_text()
    assert "burnish-refine3d" in commands and "--mask-diameter" in commands
    outside = re.findall(r'(?:src|href)="(https?://[^"]*\.(?:js|css)[^"]*)"', page)
    assert outside == []
