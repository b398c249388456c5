"""Optics groups from micrograph names of EPU and SerialEM, and from positions."""

from __future__ import annotations

from dataclasses import replace

import torch
from tests.particles.ctf_refinement.ctf_blobs import make_particles

from burnish.particles.ctf_refinement.beam_shift_groups import (
    beam_shift_labels,
    cluster_positions,
    natural_spacing,
    split_by_labels,
)


def epu(hole: int, position: int) -> str:
    return f"MotionCorr/job002/FoilHole_{hole}_Data_{position}_26503612_20190726_{1000 + hole}_Fractions.mrc"


def test_epu_names():
    names = tuple(epu(h, p) for h in range(3) for p in (26503611, 26503614))
    assert beam_shift_labels(names) == ("26503611", "26503614") * 3


def test_names_without_positions():
    assert beam_shift_labels(("mic001.mrc", "mic002.mrc")) is None
    assert beam_shift_labels(tuple(epu(h, 7) for h in range(4))) is None  # one position is no split
    assert beam_shift_labels(tuple(epu(1, p) for p in range(6))) is None  # each seen once: numbers of another meaning
    assert beam_shift_labels((epu(1, 1), epu(2, 1), "odd.mrc", epu(3, 2), epu(4, 2))) is None


def test_split_keeps_the_optics_and_numbers_the_groups():
    particles = make_particles(12, micrographs=4)
    particles = replace(particles, micrographs=tuple(epu(h, 100 + h % 2) for h in range(4)))
    labels = beam_shift_labels(particles.micrographs)
    assert labels is not None
    split = split_by_labels(particles, labels)
    assert [g.name for g in split.optics] == ["a_100", "a_101"]
    assert split.optics_index.tolist() == (particles.micrograph % 2).tolist()
    assert split.optics[0].voltage == particles.optics[0].voltage
    assert len(particles.optics) == 1


def test_positions_cluster_by_distance():
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    g = torch.Generator().manual_seed(1)
    position = centres.repeat(6, 1) + 0.2 * torch.randn(18, 2, generator=g)
    assert cluster_positions(position, 2.0).tolist() == [0, 1, 2] * 6
    assert cluster_positions(position, 20.0).tolist() == [0] * 18
    assert cluster_positions(position[:0], 1.0).tolist() == []


def test_spacing_of_a_pattern_is_found():
    centres = torch.tensor([[float(x), float(y)] for x in (-5, 0, 5) for y in (-5, 0, 5)])
    g = torch.Generator().manual_seed(1)
    position = centres.repeat(8, 1) + 0.1 * torch.randn(72, 2, generator=g)
    spacing = natural_spacing(position)
    assert 0.5 < spacing < 5.0
    assert cluster_positions(position, spacing).tolist() == list(range(9)) * 8


def test_a_cloud_has_no_clusters():
    g = torch.Generator().manual_seed(1)
    assert natural_spacing(torch.randn(200, 2, generator=g)) == 0.0
    assert natural_spacing(torch.zeros(2, 2)) == 0.0
    equal = torch.zeros(9, 2)
    assert natural_spacing(equal) == 0.0
