"""Sequences of polymers as PDBx/mmCIF writes them."""

import pytest

from burnish.io.deposition.model import one_letter_sequence


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["GLY", "ALA"], "GA"),
        (["SER", "MSE", "SEP"], "S(MSE)(SEP)"),
        (["A", "U", "G"], "AUG"),
        (["DA", "DT", "DG", "DU"], "(DA)(DT)(DG)(DU)"),  # deoxynucleotides by their component codes
        ([], ""),
    ],
)
def test_letters_for_what_is_standard_and_codes_for_the_rest(names, expected):
    assert one_letter_sequence(names) == expected
