"""FSC correction, sharpening, post-processing: formulas, RELION's stored results, RELION itself."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from burnish.data.density import DensityMap
from burnish.fourier.filters import low_pass, randomise_phases
from burnish.fourier.shells import fsc
from burnish.io.mrc import read_map, write_map
from burnish.io.star import make_table, read_star, write_star
from burnish.maps.fsc_correction import correct_fsc, first_shell_below, masked_fsc, part_fsc, solvent_factor
from burnish.maps.mask import MaskShape, make_mask
from burnish.maps.postprocess import automatic_mask, findings, postprocess, resolution_at, sharpen_like
from burnish.maps.sharpening import SharpenSettings, fit_guinier, fit_line, fsc_weights, sharpen_
from burnish.optics.detector import Mtf, mtf_at
from tests.maps.half_maps import simulated_halves

CORRECTED = "rlnFourierShellCorrelationCorrected"
UNMASKED = "rlnFourierShellCorrelationUnmaskedMaps"
MASKED = "rlnFourierShellCorrelationMaskedMaps"
RANDOMISED = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
PART = "rlnFourierShellCorrelationParticleMaskFraction"


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1])


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_correction_takes_out_what_the_mask_brings():
    masked, randomised = torch.tensor([1.0, 0.9, 0.8, 0.6, 0.3]), torch.tensor([1.0, 0.9, 0.5, 0.2, 0.3])
    corrected = correct_fsc(masked, randomised, 1)
    assert corrected.tolist() == pytest.approx([1.0, 0.9, 0.8, 0.5, 0.0])
    assert torch.isfinite(correct_fsc(masked, torch.ones(5), 0)).all()


def test_part_fsc_and_its_factor():
    mask = torch.zeros(10, 10, 10)
    mask[:5] = 1
    mask[5] = 0.5
    assert solvent_factor(mask) == pytest.approx(0.952)
    curve = torch.tensor([1.0, 0.5, 0.0])
    torch.testing.assert_close(part_fsc(curve, 1.0), curve)
    assert part_fsc(curve, 3.0).tolist() == pytest.approx([1.0, 0.75, 0.0])
    assert first_shell_below(torch.tensor([0.0, 1.0, 0.7]), 0.8) == 2
    assert first_shell_below(torch.ones(4), 0.8) is None


def test_weights_end_where_the_fsc_vanishes():
    weights = fsc_weights(torch.tensor([1.0, 0.5, 0.0, 0.5]))
    assert weights.tolist() == pytest.approx([1.0, (2 / 3) ** 0.5, 0.0, 0.0])


def test_line_and_b_factor_are_recovered():
    s2 = torch.linspace(0, 0.06, 60, dtype=torch.float64)
    line = fit_guinier(s2, -3.0 - 80.0 / 4 * s2, 10.0)
    assert line is not None
    assert (4 * line.slope, line.intercept, line.correlation) == pytest.approx((-80.0, -3.0, -1.0))
    bent = torch.where(s2 > 1 / 25, -99.0, -3.0 - 20.0 * s2)
    assert fit_guinier(s2, bent, 10.0).slope == pytest.approx(-20.0)
    assert fit_guinier(s2, -3.0 - 20.0 * s2 + (s2 > 0.03) * 5, 10.0, 6.0).slope == pytest.approx(-20.0)
    assert fit_guinier(s2[:1], s2[:1], 10.0) is None
    assert fit_line(torch.ones(3), torch.ones(3)).slope == 0


def test_sharpening_undoes_a_b_factor_and_an_mtf():
    n, pixel = 32, 1.5
    x = torch.randn(n, n, n, generator=generator())
    f = torch.fft.rfftn(x)
    mtf = Mtf(torch.linspace(0, 0.5, 11, dtype=torch.float64), torch.linspace(1, 0.3, 11, dtype=torch.float64))
    k = torch.fft.fftfreq(n)
    radius = (k[:, None, None] ** 2 + k[None, :, None] ** 2 + torch.fft.rfftfreq(n) ** 2).sqrt()
    blurred = f * torch.exp(-60 / 4 * (radius / pixel) ** 2) * mtf_at(mtf, radius * 0.5)
    settings = SharpenSettings(b_factor=-60.0, fsc_weighting=False, mtf=mtf, mtf_pixel_size=0.75)
    plot = sharpen_(blurred, x.shape, pixel, torch.ones(n // 2 + 1), settings)
    inner = radius < 0.5
    torch.testing.assert_close(blurred[inner], f[inner], rtol=1e-4, atol=1e-3)
    assert blurred[~(radius <= 0.5)].abs().max() == 0
    assert plot.without_mtf[5] > plot.original[5] and plot.fit is None


def test_simulated_halves_reach_the_resolution_of_their_truth():
    half1, half2, truth = simulated_halves()
    before = half1.clone()
    mask = automatic_mask(half1, half2, 2.0)
    result = postprocess(half1, half2, mask, 2.0, SharpenSettings(fit_from=30.0), generator())
    assert torch.equal(half1, before)
    inside = mask > 0.99
    mean = (half1 + half2) / 2
    against_truth = fsc(mean * mask, truth * mask)  # FSC 0.143 between halves is 0.5 against the truth
    shell = resolution_at(against_truth, 0.5, 96.0).shell
    assert abs(result.resolution.shell - shell) <= 2 and result.mask_used
    weighted = postprocess(half1, half2, mask, 2.0, SharpenSettings(b_factor=0.0), generator()).sharpened
    assert correlation(weighted[inside], truth[inside]) > correlation(mean[inside], truth[inside])
    assert (result.curves.randomised[result.curves.randomise_from + 4 :].abs() < 0.2).all()


def test_identical_halves_and_noise_are_told():
    half1, _, _ = simulated_halves(24)
    same = postprocess(half1, half1, torch.ones_like(half1), 2.0, SharpenSettings(), generator())
    assert any("never falls below 0.8" in text for text in findings(same, 4.0))
    assert any("up to Nyquist" in text for text in findings(same, 4.0))
    g = generator(5)
    noise = [torch.randn(24, 24, 24, generator=g) for _ in range(2)]
    nothing = postprocess(*noise, None, 2.0, SharpenSettings(b_factor=-1.0), generator())
    assert nothing.curves is None and any("do not agree at all" in text for text in findings(nothing, 4.0))


def test_a_fit_of_b_over_too_few_shells_is_told():
    half1, half2, _ = simulated_halves()
    told = {}
    for start in (30.0, 9.0):
        result = postprocess(half1, half2, None, 2.0, SharpenSettings(fit_from=start), generator())
        assert result.resolution.at_shell < start
        told[start] = any("too short a stretch" in text for text in findings(result, 4.0))
    assert told == {30.0: False, 9.0: True}


def test_a_mask_that_follows_the_noise_is_told():
    half1, half2, _ = simulated_halves(noise=1.0)
    mean = (half1 + half2) / 2
    tight = torch.from_numpy(make_mask(mean.numpy() > 1.2, MaskShape(soft_edge=0)))
    result = postprocess(half1, half2, tight, 2.0, SharpenSettings(b_factor=0.0), generator(), force_mask=True)
    assert any("phase-randomised FSC" in text for text in findings(result, 4.0))
    good = postprocess(
        half1, half2, automatic_mask(half1, half2, 2.0), 2.0, SharpenSettings(b_factor=-1.0), generator()
    )
    assert not any("phase-randomised" in text for text in findings(good, 4.0))


def test_without_weighting_the_map_is_filtered_at_its_resolution_and_halves_the_same_way():
    half1, half2, _ = simulated_halves(32)
    settings = SharpenSettings(b_factor=-20.0, fsc_weighting=False)
    result = postprocess(half1, half2, None, 2.0, settings, generator())
    assert result.low_pass == result.resolution.at_shell
    halves = [sharpen_like(h, 2.0, result, settings) for h in (half1, half2)]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, result.sharpened, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def bench(shared_data):
    folder = shared_data / "em/sets/bench_relion"
    names = ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc", "mask.mrc")
    return folder, *(read_map(folder / name).values for name in names)


def test_relion_curves_and_map_of_bench(bench):
    folder, half1, half2, mask = bench
    star = read_star(folder / "postprocess.star")
    table = star["fsc"]
    theirs = {c: torch.from_numpy(table.floats(c)) for c in (CORRECTED, UNMASKED, MASKED, RANDOMISED, PART)}
    result = postprocess(half1, half2, mask, 2.0, SharpenSettings(), generator())
    curves = result.curves
    for ours, column in ((curves.unmasked, UNMASKED), (curves.masked, MASKED), (curves.part, PART)):
        torch.testing.assert_close(ours, theirs[column], atol=2e-6, rtol=0)
    corrected = correct_fsc(theirs[MASKED], theirs[RANDOMISED], curves.randomise_from)
    torch.testing.assert_close(corrected, theirs[CORRECTED], atol=1e-5, rtol=0)
    general = star["general"]
    assert result.resolution.at_shell == pytest.approx(float(general.value("rlnFinalResolution")))
    assert 256 / curves.randomise_from == pytest.approx(float(general.value("rlnRandomiseFrom")), abs=1e-5)
    assert curves.solvent_factor == pytest.approx(float(general.value("rlnParticleBoxFractionSolventMask")), abs=1e-5)
    b = float(general.value("rlnBfactorUsedForSharpening"))
    assert result.guinier.b_factor == pytest.approx(b, rel=0.04)
    assert correlation(result.sharpened, read_map(folder / "postprocess.mrc").values) > 0.9999
    f = (torch.fft.rfftn(half1) + torch.fft.rfftn(half2)) / 2
    plot = sharpen_(f, half1.shape, 2.0, theirs[CORRECTED], SharpenSettings())
    assert plot.b_factor == pytest.approx(b, rel=1e-4)
    for ours, column in ((plot.original, "Original"), (plot.weighted, "Weighted"), (plot.sharpened, "Sharpened")):
        expected = torch.from_numpy(star["guinier"].floats(f"rlnLogAmplitudes{column}"))
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    assert correlation(torch.fft.irfftn(f, s=half1.shape), read_map(folder / "postprocess.mrc").values) > 0.9999999


def test_random_phases_scatter_as_relions(bench):
    folder, half1, half2, mask = bench
    theirs = torch.from_numpy(read_star(folder / "postprocess.star")["fsc"].floats(RANDOMISED))
    f1, f2 = torch.fft.rfftn(half1), torch.fft.rfftn(half2)

    def randomised(g):
        masked = (torch.fft.irfftn(randomise_phases(f, mask.shape, 12, g), s=mask.shape) * mask for f in (f1, f2))
        return fsc(*masked)

    runs = torch.stack([randomised(generator(seed)) for seed in range(10)])
    assert torch.equal(runs[3], masked_fsc(half1, half2, f1, f2, mask, generator(3)).randomised)
    z = (theirs - runs.mean(0)) / runs.std(0)
    assert z[1:].abs().max() < 4


def test_relion_map_with_a_given_b_and_low_pass(bench):
    folder, half1, half2, mask = bench
    settings = SharpenSettings(b_factor=-50.0, fsc_weighting=False, low_pass=5.0)
    ours = postprocess(half1, half2, mask, 2.0, settings, generator()).sharpened
    theirs = read_map(folder / "postprocess_adhoc_b50_lowpass5.mrc").values
    assert correlation(ours, theirs) > 0.9999999


@pytest.mark.parametrize("job", ["022", "026", "066", "076", "079"])
def test_real_tables_obey_the_correction(shared_data, job):
    star = read_star(shared_data / f"em/relion_jobs/relion5_sta/postprocess_job{job}/postprocess.star")
    table = star["fsc"]
    start = int(np.flatnonzero(table.floats(UNMASKED)[1:] < 0.8)[0]) + 1
    columns = [torch.from_numpy(table.floats(c)) for c in (MASKED, RANDOMISED, CORRECTED)]
    # RELION prints five decimals of negative values: three roundings of 5e-6
    torch.testing.assert_close(correct_fsc(columns[0], columns[1], start), columns[2], atol=1.5e-5, rtol=0)
    positive = torch.stack(columns).min(0).values > 0
    exact = correct_fsc(columns[0], columns[1], start)[positive]
    torch.testing.assert_close(exact, columns[2][positive], atol=2e-6, rtol=0)
    factor = float(star["general"].value("rlnParticleBoxFractionSolventMask"))
    part = part_fsc(torch.from_numpy(table.floats(UNMASKED)), factor)
    torch.testing.assert_close(part, torch.from_numpy(table.floats(PART)), atol=factor * 8e-6, rtol=0)


def test_ssnr_and_tau2_of_a_real_refinement(shared_data):
    folder = shared_data / "em/relion_jobs/emtools_refine3d_it016"
    table = read_star(folder / "run_it016_half1_model.star")["model_class_1"]
    fsc_, ssnr, tau2, sigma2 = (
        table.floats(c) for c in ("rlnGoldStandardFsc", "rlnSsnrMap", "rlnReferenceTau2", "rlnReferenceSigma2")
    )
    usable = (fsc_ < 0.998) & (fsc_ > 0.001)  # six decimals of the FSC leave no SSNR above
    fsc_, ssnr, tau2, sigma2 = (c[usable] for c in (fsc_, ssnr, tau2, sigma2))
    np.testing.assert_allclose(ssnr, fsc_ / (1 - fsc_), rtol=1e-3)
    np.testing.assert_allclose(tau2, ssnr * sigma2, rtol=1e-4)


@pytest.mark.parametrize("with_mtf", [False, True])
def test_relion_on_maps_that_do_not_reach_nyquist(tmp_path, with_mtf):
    if shutil.which("relion_postprocess") is None:
        pytest.skip("RELION is not installed")
    half1, half2, _ = simulated_halves(64, noise=0.5)
    mask = automatic_mask(half1, half2, 2.0)
    for name, values in (("x_half1.mrc", half1), ("x_half2.mrc", half2), ("mask.mrc", mask)):
        write_map(tmp_path / name, DensityMap(values=values, voxel_size=(2.0,) * 3))
    frequency = np.linspace(0, 0.5, 101)
    curve = {"rlnResolutionInversePixel": frequency, "rlnMtfValue": 1 - 1.3 * frequency}
    write_star(tmp_path / "mtf.star", [make_table("", curve)])
    (tmp_path / "pp").mkdir()
    command = "relion_postprocess --i x_half1.mrc --mask mask.mrc --o pp/pp --angpix 2.0 --auto_bfac --autob_lowres 16"
    extra = ["--mtf", "mtf.star", "--mtf_angpix", "1.0"] if with_mtf else []
    subprocess.run([*command.split(), *extra], cwd=tmp_path, check=True, capture_output=True)
    star = read_star(tmp_path / "pp/pp.star")
    mtf = Mtf(*(torch.from_numpy(c) for c in curve.values())) if with_mtf else None
    settings = SharpenSettings(fit_from=16.0, mtf=mtf, mtf_pixel_size=1.0 if with_mtf else None)
    result = postprocess(half1, half2, mask, 2.0, settings, generator())
    assert 4.5 < result.resolution.at_shell < 16
    assert result.resolution.at_shell == pytest.approx(float(star["general"].value("rlnFinalResolution")), rel=1e-5)
    table = star["fsc"]
    torch.testing.assert_close(result.curves.masked, torch.from_numpy(table.floats(MASKED)), atol=1e-5, rtol=0)
    f = (torch.fft.rfftn(half1) + torch.fft.rfftn(half2)) / 2
    plot = sharpen_(f, half1.shape, 2.0, torch.from_numpy(table.floats(CORRECTED)), settings)
    guinier = star["guinier"]
    if with_mtf:
        divided = torch.from_numpy(guinier.floats("rlnLogAmplitudesMTFCorrected"))
        torch.testing.assert_close(plot.without_mtf[:-1], divided[:-1], atol=2e-3, rtol=0)
    b = float(star["general"].value("rlnBfactorUsedForSharpening"))
    assert plot.b_factor == pytest.approx(b, rel=0.01)
    theirs = read_map(tmp_path / "pp/pp.mrc").values
    assert correlation(torch.fft.irfftn(f, s=half1.shape), theirs) > 0.99999
    # beyond the resolution the weights, and with them the fitted B, hang on the random phases, which no two runs share
    d = result.resolution.at_shell
    assert correlation(low_pass(result.sharpened, d, 2.0), low_pass(theirs, d, 2.0)) > 0.995
