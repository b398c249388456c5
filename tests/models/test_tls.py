"""TLS: closed forms, recovery of known tensors, invariance."""

import numpy as np
import pytest

from burnish.models.tls import fit_tls, tls_columns, tls_design


@pytest.fixture
def group():
    rng = np.random.default_rng(6)
    xyz = rng.normal(scale=8.0, size=(60, 3)) + np.array([10.0, 20.0, 30.0])
    a, b = rng.normal(scale=0.3, size=(2, 3, 3))
    t, l = a @ a.T + 0.1 * np.eye(3), 1e-3 * (b @ b.T)
    s = rng.normal(scale=1e-3, size=(3, 3))
    s -= np.trace(s) / 3.0 * np.eye(3)
    return xyz, t, l, s


def _tensors(xyz, t, l, s):
    """Mean square displacement of t + ω × r, written out."""
    result = np.zeros((len(xyz), 3, 3))
    for n, r in enumerate(xyz - xyz.mean(axis=0)):
        a = np.array([[0, r[2], -r[1]], [-r[2], 0, r[0]], [r[1], -r[0], 0]])
        result[n] = t + a @ l @ a.T + a @ s + s.T @ a.T
    return result[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def test_known_tensors_come_back(group):
    xyz, t, l, s = group
    residual = np.abs(np.random.default_rng(1).normal(scale=0.1, size=60))
    residual -= residual.min()
    u = _tensors(xyz, t, l, s)
    u[:, :3] += residual[:, None]
    found = fit_tls(xyz, u)
    assert found.l == pytest.approx(l, abs=1e-6)
    assert found.s == pytest.approx(s, abs=1e-4)
    # T without its trace: what atoms share of an isotropic part is convention
    assert found.t - np.eye(3) * np.trace(found.t) / 3 == pytest.approx(t - np.eye(3) * np.trace(t) / 3, abs=1e-4)


def test_design_spans_every_motion(group):
    xyz, t, l, s = group
    design = tls_design(xyz).reshape(-1, 20)
    u = _tensors(xyz, t, l, s).reshape(-1)
    assert np.linalg.matrix_rank(design) == 20
    fitted = np.linalg.lstsq(design, u, rcond=None)[0]
    assert design @ fitted == pytest.approx(u, abs=1e-9)


def test_libration_about_an_axis():
    xyz = np.array([[5.0, 0, 0], [-5.0, 0, 0], [0, 5.0, 0], [0, -5.0, 0]])
    design = tls_design(xyz)
    about_z = design[:, :, 6 + 2]  # L33 of one rad²
    assert about_z[0] == pytest.approx([0, 25, 0, 0, 0, 0])
    assert about_z[2] == pytest.approx([25, 0, 0, 0, 0, 0])


def test_columns_touch_only_their_group(group):
    xyz = group[0]
    matrix = tls_columns(xyz, [np.arange(25), np.arange(30, 60)])
    assert matrix.shape == (7 * 60, 40)
    rows = np.unique(matrix[:, :20].nonzero()[0])
    assert rows.min() >= 60
    assert rows.max() < 60 + 6 * 25
    assert tls_columns(xyz, []).shape == (420, 0)
