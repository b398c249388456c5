import pytest

from burnish.core.terms import number_line, term


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("r_work", "R-work"),
        ("r_free_start", "R-free start"),
        ("cc_free", "CC-free"),
        ("cc_mask", "CC mask"),
        ("fsc_average", "FSC average"),
        ("q_score", "Q score"),
        ("b_factor", "B factor (Å²)"),
        ("bond_rmsz", "bond rms Z"),
        ("cbeta_outliers", "Cβ outliers"),
        ("ramachandran_favoured_percent", "Ramachandran favoured (%)"),
        ("largest_difference_sigma", "largest difference (σ)"),
        ("defocus_sigma_median", "defocus sigma, median (Å)"),
        ("sigma", "sigma"),
        ("clashscore", "clashscore"),
        ("defocus_kept", "defocus kept"),
        ("resolution_masked", "resolution masked (Å)"),
        ("best_10_percent", "best 10 %"),
        ("bond_rmsd", "bond rmsd (Å)"),
        ("guinier_intercept", "Guinier intercept"),
    ],
)
def test_as_the_field_writes_it(name: str, written: str) -> None:
    assert term(name) == written


def test_numbers_that_are_not_there_yet_are_dashes() -> None:
    assert number_line("iteration", 1, {"resolution": 23.708, "accuracy_shift": float("nan")}) == (
        "iteration   1  resolution (Å) 23.71  accuracy of shifts (Å) –"
    )
