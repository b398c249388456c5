"""TLS groups in the formats of REFMAC and phenix, and their records in headers."""

import gemmi
import numpy as np
import pytest

from burnish.core.errors import DataError, InputError
from burnish.data.labels import AtomLabels
from burnish.io.tls_groups import read_tls_groups, tls_records, tls_remarks
from burnish.models.tls import TlsGroup

LABELS = AtomLabels(
    chain=("A",) * 6 + ("B",) * 2,
    number=(1, 1, 2, 3, 4, 5, 1, 2),
    insertion=("",) * 8,
    residue_name=("GLY",) * 8,
    atom_name=("N",) * 8,
)


def test_groups(tmp_path):
    path = tmp_path / "g.tls"
    first = "TLS one\nRANGE 'A   1.' 'A   2.' ALL\nORIGIN 1 2 3\n"
    path.write_text(first + "TLS\nRANGE  'A   4.' 'A   5.' ALL\nRANGE 'B   1.' 'B   9.'\n")
    assert read_tls_groups(path, LABELS) == ((0, 1, 2), (4, 5, 6, 7))


def test_remarks_of_the_pdb_format_are_read_by_gemmi(tmp_path):
    s = np.array([[0.011, 0.02, -0.03], [0.04, -0.005, 0.06], [0.07, -0.08, -0.006]]) / 57.29578
    t = np.array([[0.1, 0.04, -0.05], [0.04, 0.2, 0.06], [-0.05, 0.06, 0.3]])
    found = TlsGroup(origin=np.array([1.0, -2.0, 103.5]), t=t, l=np.diag([3.0, 2.0, 1.0]) / 57.29578**2, s=s)
    atoms = [(0, 1, 2, 4, 5, 6, 7), (3,)]
    written = tls_records(atoms, [found, found], LABELS)
    head = ["", "  DATA USED IN REFINEMENT.", "   RESOLUTION RANGE HIGH (ANGSTROMS) : 1.50"]
    lines = [f"REMARK   3{line}".ljust(80) for line in [*head, *tls_remarks(written)]]
    assert max(map(len, lines)) == 80
    path = tmp_path / "m.pdb"
    atom = "ATOM      1  CA  ALA A   1       0.000   0.000   0.000  1.00 20.00           C  "
    path.write_text("\n".join([*lines, atom, "END", ""]))
    read = gemmi.read_structure(str(path)).meta.refinement[0].tls_groups
    assert len(read) == 2
    for one, other in zip(read, written, strict=True):
        assert one.origin.tolist() == pytest.approx(other.origin.tolist(), abs=1e-4)
        for name in ("T", "L"):
            pair = getattr(one, name).elements_pdb(), getattr(other, name).elements_pdb()
            assert pair[0] == pytest.approx(pair[1], abs=1e-4)
        assert np.array(one.S.tolist()) == pytest.approx(np.array(other.S.tolist()), abs=1e-4)
        ranges = [[(r.chain, r.res_begin.num, r.res_end.num) for r in group.selections] for group in (one, other)]
        assert ranges[0] == ranges[1]
    assert tls_remarks([]) == []


@pytest.mark.parametrize(
    "text",
    [
        'refinement.refine.adp {\n  tls = "chain A and resseq 1:2"\n  tls = "chain A and resid 4:5 or chain B"\n}\n',
        "chain A and resseq 1:2\n(chain A and resseq 4 through 5) or (chain B)\n",
    ],
)
def test_selections_of_phenix(text, tmp_path):
    path = tmp_path / "g.phil"
    path.write_text(text)
    assert read_tls_groups(path, LABELS) == ((0, 1, 2), (4, 5, 6, 7))


def test_records_hold_ranges_and_degrees():
    found = TlsGroup(
        origin=np.array([1.0, 2.0, 3.0]),
        t=np.diag([0.1, 0.2, 0.3]),
        l=np.diag([0.01, 0.0, 0.0]),
        s=np.array([[0.0, 0.02, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    (record,) = tls_records([(0, 1, 2, 4, 5, 6, 7)], [found], LABELS)
    ranges = [(s.chain, s.res_begin.num, s.res_end.num) for s in record.selections]
    assert ranges == [("A", 1, 2), ("A", 4, 5), ("B", 1, 2)]
    assert record.T.u33 == pytest.approx(0.3)
    assert record.L.u11 == pytest.approx(0.01 * 57.29578**2, rel=1e-6)
    assert record.S.tolist()[0][1] == pytest.approx(0.02 * 57.29578, rel=1e-6)
    assert record.origin.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TLS\nRANGE A 1 A 2\n", "line 2: found RANGE A 1 A 2, expected RANGE"),
        ("TLS\nRANGE 'A   1.' 'B   2.' ALL\n", "within one chain"),
        ("RANGE 'A   1.' 'A   2.' ALL\n", "before the first line TLS"),
        ("TLS\nRANGE 'C   1.' 'C   2.' ALL\n", "no atoms in chain C from 1 to 2"),
        ("TLS\nRANGE 'A   1.' 'A   3.'\nTLS\nRANGE 'A   3.' 'A   4.'\n", "line 4: residue A 3 is in group 1 too"),
        ("hello\n", "no TLS groups"),
        ("chain A and name CA\n", "line 1: found chain A and name CA, expected chain A, or"),
        ("chain A\nchain A and resseq 3\n", "line 2: residue A 3 is in group 1 too"),
    ],
)
def test_faults(text, message, tmp_path):
    path = tmp_path / "g.tls"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_tls_groups(path, LABELS)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_tls_groups(tmp_path / "none", LABELS)
