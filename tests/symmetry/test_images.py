"""Symmetry images: as gemmi finds them."""

import gemmi
import numpy as np
import pytest

from burnish.data.reflections import Crystal
from burnish.symmetry.images import images_near, nearest_images


@pytest.mark.parametrize(
    ("group", "cell"),
    [
        ("P 21 21 21", (30.0, 40.0, 50.0, 90.0, 90.0, 90.0)),
        ("C 1 2 1", (40.0, 30.0, 35.0, 90.0, 107.0, 90.0)),
        ("P 65 2 2", (40.0, 40.0, 60.0, 90.0, 90.0, 120.0)),
    ],
)
def test_nearest_image_is_gemmis(group, cell):
    crystal = Crystal(cell=cell, space_group=group)
    generator = np.random.default_rng(5)
    model = generator.uniform(0.0, 12.0, (10, 3))
    xyz = generator.uniform(-60.0, 60.0, (30, 3))
    where, atom, distance = nearest_images(crystal, xyz, model, reach=60.0)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*cell), group
    structure.setup_cell_images()
    unit_cell = structure.cell
    for row in range(len(xyz)):
        found = [
            unit_cell.find_nearest_image(gemmi.Position(*a), gemmi.Position(*xyz[row]), gemmi.Asu.Any).dist()
            for a in model
        ]
        assert distance[row] == pytest.approx(min(found), abs=1e-6)
        assert np.linalg.norm(where[row] - model[atom[row]]) == pytest.approx(min(found), abs=1e-6)


def test_images_include_the_position_itself():
    crystal = Crystal(cell=(20.0, 20.0, 20.0, 90.0, 90.0, 90.0), space_group="P 21 21 21")
    images = images_near(crystal, np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 0.0, 0.0]]), 25.0)
    assert images.is_identity.sum() == 1
    assert images.xyz[images.is_identity][0] == pytest.approx([1.0, 2.0, 3.0])
    inside = np.abs(images.xyz).max(axis=1) <= 25.0 + 1e-9
    assert inside.all()


def test_without_symmetry_nothing_moves():
    where, atom, distance = nearest_images(None, np.array([[3.0, 0.0, 0.0]]), np.zeros((2, 3)))
    assert where[0] == pytest.approx([3.0, 0.0, 0.0])
    assert (atom[0] in (0, 1), distance[0]) == (True, pytest.approx(3.0))
