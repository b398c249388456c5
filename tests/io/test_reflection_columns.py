"""Labels of CCP4, phenix and the wwPDB; calculated columns; one measurement or two."""

from pathlib import Path

import numpy as np
import pytest

from burnish.core.errors import DataError, InputError
from burnish.data.reflections import Crystal
from burnish.io.reflection_columns import choose, find_measurements, is_calculated, remainder
from burnish.io.reflection_table import Column, ReflectionTable


def table(*columns: str, dataset: str = "native") -> ReflectionTable:
    """A table of two reflections with columns given as LABEL:TYPE."""
    return ReflectionTable(
        source=Path("t.mtz"),
        crystal=Crystal(cell=(50, 60, 70, 90, 90, 90), space_group="P 21 21 21"),
        hkl=np.array([[1, 2, 3], [2, 3, 4]]),
        columns=tuple(
            Column(label=c.split(":")[0], kind=c.split(":")[1], dataset=dataset, values=np.ones(2)) for c in columns
        ),
    )


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (("FP:F", "SIGFP:Q", "FC:F", "PHIC:P"), ("FP", "SIGFP")),
        (("FC:F", "SIGFP:Q", "FP:F"), ("FP", "SIGFP")),
        (("F-obs:F", "SIGF-obs:Q", "F-obs-filtered:F", "SIGF-obs-filtered:Q", "F-model:F"), ("F-obs", "SIGF-obs")),
        (("IMEAN:J", "SIGIMEAN:Q", "F:F", "SIGF:Q"), ("F", "SIGF")),
        (("I(+):K", "SIGI(+):M", "I(-):K", "SIGI(-):M"), ("I(+)", "SIGI(+)", "I(-)", "SIGI(-)")),
        (
            ("F(-):G", "SIGF(-):L", "F(+):G", "SIGF(+):L", "IMEAN:J", "SIGIMEAN:Q"),
            ("F(+)", "SIGF(+)", "F(-)", "SIGF(-)"),
        ),
        (("FOBS:F", "SIGFOBS:Q", "IOBS:J", "SIGIOBS:Q", "DANO:D", "SIGDANO:Q"), ("FOBS", "SIGFOBS")),
        (("FGMP18:F", "SIGFGMP18:Q", "IMEAN:J", "SIGIMEAN:Q"), ("FGMP18", "SIGFGMP18")),
        (
            ("F_New:F", "SIGF_New:Q", "F(+)_New:G", "SIGF(+)_New:L", "F(-)_New:G", "SIGF(-)_New:L"),
            ("F_New", "SIGF_New"),
        ),
    ],
)
def test_one_measurement_is_found(columns, taken):
    assert choose(table(*columns)).signal.labels == taken


@pytest.mark.parametrize(
    "label", ["FC", "FC_ALL", "FCALC", "F-model", "FMODEL", "FWT", "DELFWT", "2FOFCWT", "FOFCWT", "2mFoDFc_FWT", "FDM"]
)
def test_calculated_labels_are_never_data_even_with_a_sigma(label):
    assert is_calculated(label) or label == "2mFoDFc_FWT"
    if is_calculated(label):
        with pytest.raises(DataError, match="only calculated columns"):
            choose(table(f"{label}:F", f"SIG{label}:Q"))


@pytest.mark.parametrize("label", ["FP", "F", "FOBS", "F-obs", "FGMP18", "FNAT", "FPH1", "F_peak", "FPART_NOT"])
def test_measured_labels_are_not_called_calculated(label):
    assert is_calculated(label) == (label == "FPART_NOT")


def test_two_measurements_are_listed():
    two = table("F_peak:F", "SIGF_peak:Q", "F_infl:F", "SIGF_infl:Q")
    with pytest.raises(
        DataError, match=r"2 different measurements: F_peak,SIGF_peak; F_infl,SIGF_infl; .*--labels F_peak"
    ):
        choose(two)
    assert choose(two, ("F_infl", "SIGF_infl")).signal.labels == ("F_infl", "SIGF_infl")
    assert choose(two, ("F_infl",)).signal.labels == ("F_infl", "SIGF_infl")


def test_native_and_derivative_are_two_measurements():
    with pytest.raises(DataError, match="2 different measurements"):
        choose(table("FP:F", "SIGFP:Q", "FPH1:F", "SIGFPH1:Q"))


def test_labels_choose_intensities_of_the_same_measurement():
    choice = choose(table("F:F", "SIGF:Q", "IMEAN:J", "SIGIMEAN:Q"), ("IMEAN", "SIGIMEAN"))
    assert choice.signal.kind == "I"
    assert choice.by_user


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("FX", "SIGFX"), "no column FX; --labels can name some of: FP, SIGFP, PHIC"),
        (("PHIC",), "neither amplitude nor intensity"),
        (("FP", "PHIC"), "expected VALUE,SIGMA"),
    ],
)
def test_wrong_labels(labels, message):
    with pytest.raises(InputError, match=message):
        choose(table("FP:F", "SIGFP:Q", "PHIC:P"), labels)


def test_amplitudes_without_sigma_are_named():
    with pytest.raises(DataError, match="FP without a sigma column"):
        choose(table("FP:F", "FC:F"))


def test_file_without_amplitudes():
    with pytest.raises(DataError, match="no amplitudes or intensities; the file has PHIB"):
        choose(table("PHIB:P"))


def test_remainder_keeps_what_tells_measurements_apart():
    assert remainder("FPH1") != remainder("FP")
    assert remainder("F-obs") == remainder("F-obs-filtered") == remainder("I-obs(+)") == ""
    assert len(find_measurements(table("F_a:F", "SIGF_a:Q", "I_a:J", "SIGI_a:Q"))) == 1
