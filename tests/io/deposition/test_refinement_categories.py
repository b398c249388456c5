"""Twin operators, precision indices and shells of a deposition."""

import math

import pytest
from tests.workflows.small_crystal import helix

from burnish.io.deposition.refinement import refinement_categories, twin_table


def test_twin_operators_act_on_indices():
    table = twin_table(("y,x,-z", "-x,y,-z"), (0.6, 0.3, 0.1))
    assert table["operator"] == ["H, K, L", "K, H, -L", "-H, K, -L"]
    assert table["fraction"] == ["0.6000", "0.3000", "0.1000"]


def test_a_law_that_mixes_indices():
    # h' = h·R with R of x' = x−y, y' = −y: (h, k, l)·R = (h, −h−k, −l)
    assert twin_table(("x-y,-y,-z",), (0.5, 0.5))["operator"][1] == "H, -H-K, -L"


@pytest.fixture
def record():
    shell = {
        "d_max": 20.0,
        "d_min": 1.9,
        "measured": 900,
        "free": 90,
        "completeness": 0.9,
        "r_work": 0.2,
        "r_free": 0.25,
    }
    return {
        "data": {"d_min": 1.9, "d_max": 20.0, "n_work": 810, "n_free": 90, "n_possible": 1000},
        "final": {"r_work": 0.20, "r_free": 0.25, "cc_work": 0.95, "cc_free": 0.9, "twin_fractions": [1.0]},
        "scaling": {"k_sol": 0.35, "b_sol": 46.0, "anisotropy": [1.0, -1.0, 0.0, 0.0, 0.0, 0.0]},
        "shells": [shell | {"d_min": 3.0}, shell | {"d_max": 3.0}],
        "geometry": {"bond": {"count": 40, "rmsd": 0.01, "mean_sigma": 0.02}},
    }


def test_numbers_of_the_refinement(record):
    made = refinement_categories(record, {"target": "ml"}, helix(), {})
    refine = {k: v[0] for k, v in made["refine"].items()}
    assert refine["ls_R_factor_obs"] == "0.2050"  # (.2·810 + .25·90)/900
    assert refine["ls_percent_reflns_R_free"] == "10.00"
    assert refine["ls_percent_reflns_obs"] == "90.00"
    # Cruckshank's index: √(N/(n − p)) C^(−1/3) R d and √(N/n) C^(−1/3) R_free d, 40 atoms with 4 parameters each
    by_r = math.sqrt(40 / (810 - 160)) * 0.9 ** (-1 / 3) * 0.20 * 1.9
    by_free = math.sqrt(40 / 810) * 0.9 ** (-1 / 3) * 0.25 * 1.9
    assert float(refine["overall_SU_R_Cruickshank_DPI"]) == pytest.approx(by_r, abs=1e-4)
    assert float(refine["pdbx_overall_ESU_R_Free"]) == pytest.approx(by_free, abs=1e-3)
    assert made["refine_ls_shell"]["d_res_high"] == ["1.900", "3.000"]  # the finest first
    assert made["refine_ls_shell"]["number_reflns_R_work"] == ["810", "810"]
    assert made["software"]["name"] == ["Burnish"]


def test_too_few_observations_give_no_index(record):
    record["data"]["n_work"] = 100
    made = refinement_categories(record, {}, helix(), {})
    assert made["refine"]["overall_SU_R_Cruickshank_DPI"] == [None]


def test_earlier_software_is_kept_and_burnish_named_once(record):
    old = {"software": {"name": ["XDS", "Burnish"], "version": ["1", "0"], "classification": ["data reduction", "x"]}}
    made = refinement_categories(record, {}, helix(), old)
    assert made["software"]["name"] == ["XDS", "Burnish"]
    assert made["software"]["pdbx_ordinal"] == ["1", "2"]


def test_neutrons_are_named_throughout(record):
    made = refinement_categories(record, {"radiation": "neutron"}, helix(), {})
    named = {v for table in made.values() for v in table.get("pdbx_refine_id", [])}
    assert named == {"NEUTRON DIFFRACTION"}
