"""Imports with the collector at rest."""

import gc
import sys
from pathlib import Path

import pytest

from burnish.core.imports import import_whole


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module that says whether the collector rests while it is imported."""
    (tmp_path / "of_this_test.py").write_text("import gc\nresting = not gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "of_this_test"
    sys.modules.pop("of_this_test", None)
    gc.enable()
    gc.unfreeze()


def test_the_collector_rests_only_while_something_is_imported(name):
    frozen = gc.get_freeze_count()
    module = import_whole(name)
    assert module.resting and gc.isenabled() and gc.get_freeze_count() > frozen
    frozen = gc.get_freeze_count()
    assert import_whole(name) is module and gc.get_freeze_count() == frozen


def test_the_collector_stays_off_where_it_was(name):
    gc.disable()
    frozen = gc.get_freeze_count()
    assert import_whole(name).resting and not gc.isenabled() and gc.get_freeze_count() == frozen


def test_the_collector_works_again_after_a_failure():
    with pytest.raises(ModuleNotFoundError):
        import_whole("burnish.nothing_of_this_name")
    assert gc.isenabled()
    gc.unfreeze()
