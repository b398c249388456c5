import pytest

from burnish.core.terms import term


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("r_work", "R-work"),
        ("r_free_start", "R-free start"),
        ("cc_free", "CC-free"),
        ("cc_mask", "CC mask"),
        ("fsc_average", "FSC average"),
        ("q_score", "Q score"),
        ("b_factor", "B factor"),
        ("bond_rmsz", "bond rms Z"),
        ("cbeta_outliers", "Cβ outliers"),
        ("ramachandran_favoured_percent", "Ramachandran favoured (%)"),
        ("largest_difference_sigma", "largest difference (σ)"),
        ("defocus_sigma_median", "defocus sigma median"),
        ("sigma", "sigma"),
        ("clashscore", "clashscore"),
    ],
)
def test_as_the_field_writes_it(name: str, written: str) -> None:
    assert term(name) == written
