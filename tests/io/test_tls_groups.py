"""TLS groups in REFMAC's format."""

import pytest

from burnish.core.errors import DataError, InputError
from burnish.data.labels import AtomLabels
from burnish.io.tls_groups import read_tls_groups

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
    ("text", "message"),
    [
        ("TLS\nRANGE A 1 A 2\n", "line 2: found RANGE A 1 A 2, expected RANGE"),
        ("TLS\nRANGE 'A   1.' 'B   2.' ALL\n", "within one chain"),
        ("RANGE 'A   1.' 'A   2.' ALL\n", "before the first line TLS"),
        ("TLS\nRANGE 'C   1.' 'C   2.' ALL\n", "no atoms in chain C from 1 to 2"),
        ("TLS\nRANGE 'A   1.' 'A   3.'\nTLS\nRANGE 'A   3.' 'A   4.'\n", "line 4: residue A 3 is in group 1 too"),
        ("hello\n", "no TLS groups"),
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
