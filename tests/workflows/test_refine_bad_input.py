"""Every fault of the input ends with one line on standard error, exit code 2 and no folder."""

import re

import gemmi
import numpy as np
import pytest
from tests.workflows.small_crystal import write_case

from burnish.cli.main import main


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("bad"))


def refused(capsys, out, *arguments) -> str:
    """Run `burnish refine`; it must end with code 2, one line, and nothing written. Returns the line."""
    with pytest.raises(SystemExit) as ended:
        main(["refine", *map(str, arguments), "--out", str(out)])
    captured = capsys.readouterr()
    assert ended.value.code == 2, captured.err
    errors = [line for line in captured.err.splitlines() if line.startswith("burnish refine:")]
    assert len(errors) == 1, captured.err
    assert "Traceback" not in captured.err
    assert not out.exists()
    return errors[0]


def edited(case, tmp_path, edit):
    """A copy of the data with some columns changed by `edit(columns)`, columns by label."""
    mtz = gemmi.read_mtz_file(str(case[1]))
    columns = {c.label: np.array(c.array) for c in mtz.columns}
    edit(columns)
    mtz.set_data(np.column_stack(list(columns.values())).astype(np.float32))
    path = tmp_path / "edited.mtz"
    mtz.write_to_file(str(path))
    return path


def put(label, row, value):
    def edit(columns):
        columns[label][row] = value

    return edit


DATA_FAULTS = {
    "NaN amplitudes": (put("FP", slice(None), np.nan), "none of .* values is a number|FP"),
    "negative amplitude": (put("FP", 7, -1.0), r"column FP, reflection .* row 8: found -1"),
    "huge amplitude": (put("FP", 7, 1e30), r"found 1e\+30, more than"),
    "negative sigma": (put("SIGFP", 7, -1.0), r"column SIGFP, .* found -1"),
    "zero sigmas": (put("SIGFP", slice(None), 0.0), "sigmas are zero"),
    "equal flags": (put("FREE", slice(None), 1.0), "free flags FREE are corrupt: all"),
    "fractional flags": (put("FREE", slice(None, None, 2), 0.5), "expected whole numbers"),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_faults_of_the_data(fault, case, tmp_path, capsys):
    edit, message = DATA_FAULTS[fault]
    line = refused(capsys, tmp_path / "out", case[0], edited(case, tmp_path, edit))
    assert re.search(message, line), line


def test_missing_files_and_truncated_mtz(case, tmp_path, capsys):
    assert "no such file" in refused(capsys, tmp_path / "out", tmp_path / "none.cif", case[1])
    assert "no such file" in refused(capsys, tmp_path / "out", case[0], tmp_path / "none.mtz")
    cut = tmp_path / "cut.mtz"
    cut.write_bytes(case[1].read_bytes()[:5000])
    assert "truncated" in refused(capsys, tmp_path / "out", case[0], cut)


def test_no_flags_when_they_are_required(case, tmp_path, capsys):
    mtz = gemmi.read_mtz_file(str(case[1]))
    mtz.remove_column([c.label for c in mtz.columns].index("FREE"))
    path = tmp_path / "noflags.mtz"
    mtz.write_to_file(str(path))
    assert "no free flags and --require-free" in refused(capsys, tmp_path / "out", case[0], path, "--require-free")


def changed_model(case, tmp_path, change):
    structure = gemmi.read_structure(str(case[0]))
    change(structure)
    path = tmp_path / "changed.cif"
    structure.make_mmcif_document().write_file(str(path))
    return path


def _cell(structure):
    structure.cell = gemmi.UnitCell(25.0, 21.7, 24.4, 90, 90, 90)


def _group(structure):
    structure.spacegroup_hm = "P 21 21 2"


def _unknown(structure):
    for residue in structure[0][0]:
        residue.name = "Q9Z"


def _misnamed(structure):
    structure[0][0][2]["CB"][0].name = "CX"


def _twice(structure):
    structure[0][0][1].add_atom(structure[0][0][1][0])


def _on_top(structure):
    structure[0][0][3][0].pos = structure[0][0][5][1].pos


def _negative(structure):
    structure[0][0][3][0].occ = -0.5


def _above_two(structure):
    structure[0][0][3][0].occ = 2.5


def _empty(structure):
    for i in reversed(range(len(structure[0]))):
        del structure[0][i]


def _nan(structure):
    structure[0][0][3][0].pos = gemmi.Position(np.nan, 0.0, 0.0)


MODEL_FAULTS = {
    "cell": (_cell, "differs by 30.2%"),
    "space group": (_group, "space group P 21 21 2, but"),
    "unknown ligand": (_unknown, "Q9Z"),
    "misnamed": (_misnamed, "CX.*misnamed|misnamed.*CX"),
    "twice": (_twice, "is there twice"),
    "on top": (_on_top, "lie on top of each other"),
    "negative occupancy": (_negative, "occupancy -0.5"),
    "occupancy above two": (_above_two, "occupancy 2.5"),
    "empty": (_empty, "no atom|empty"),
    "NaN": (_nan, "Cartn_x is NaN, expected a number"),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_faults_of_the_model(fault, case, tmp_path, capsys):
    change, message = MODEL_FAULTS[fault]
    line = refused(capsys, tmp_path / "out", changed_model(case, tmp_path, change), case[1])
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels", "FX,SIGFX"), "no column FX"),
        (("--free-label", "FX"), "no column FX"),
        (("--labels", "A,B,C"), "VALUE,SIGMA"),
        (("--ligand", "none.cif"), "none.cif"),
        (("--monomers", "/nowhere"), "/nowhere"),
        (("--d-min", "5", "--d-max", "4"), "must be smaller"),
        (("--cycles", "-1"), "--cycles"),
        (("--device", "abacus"), "--device"),
        (("--device", "cuda:99"), "CUDA devices found"),
        (("--twin",), "no twin law goes with P 21 21 21"),
        (("--target", "intensity"), "the data hold no intensities"),
        (("--target", "phased"), "no Hendrickson-Lattman coefficients"),
        (("--target", "anomalous"), "no amplitudes of Bijvoet pairs"),
        (("--dispersion", "Se,4"), "ELEMENT,f′,f″ expected"),
        (("--tls", "groups.tls"), "groups.tls: no such file"),
        (("--smiles", "CCO"), "NAME=SMILES"),
        (("--nonsense", "1"), "nonsense"),
    ],
)
def test_options_that_do_not_work(arguments, message, case, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["refine", str(case[0]), str(case[1]), "--out", str(tmp_path / "out"), *arguments])
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_fit_is_told_why(case, tmp_path, capsys):
    def misplace(structure):
        for cra in structure[0].all():
            cra.atom.pos += gemmi.Position(3.1, 4.7, 2.9)

    model = changed_model(case, tmp_path, misplace)
    with pytest.raises(SystemExit) as ended:
        main(["refine", str(model), str(case[1]), "--out", str(tmp_path / "out"), "--cycles", "0"])
    assert ended.value.code == 0
    assert "the model hardly fits these data" in " ".join(capsys.readouterr().err.split())
