"""Processes that end at once do what was asked for at their end."""

import subprocess
import sys

START = "import atexit, sys, threading, time\nfrom burnish.cli.ending import leave\n"


def ended(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)


def test_status_output_and_what_was_registered():
    found = ended("atexit.register(print, 'last', flush=True)\nsys.stdout.write('first ')\nleave(3)\nprint('never')")
    assert (found.returncode, found.stdout, found.stderr) == (3, "first last\n", "")


def test_other_threads_are_waited_for():
    work = "def work():\n    time.sleep(0.2)\n    print('done')\n"
    found = ended(work + "threading.Thread(target=work).start()\nleave(0)")
    assert (found.returncode, found.stdout) == (0, "done\n")


def test_nothing_imported_is_taken_apart():
    found = ended("class Late:\n    def __del__(self): print('gone')\nlate = Late()\nleave(0)")
    assert (found.returncode, found.stdout) == (0, "")
