"""TLS groups in the formats of REFMAC and phenix, and their records in headers."""

import numpy as np
import pytest

from burnish.core.errors import DataError, InputError
from burnish.data.labels import AtomLabels
from burnish.io.tls_groups import read_tls_groups, tls_records
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
