"""The low-pass of arrays against that of tensors, which transforms in full."""

import numpy as np
import pytest
import torch

from burnish.fourier.array_low_pass import low_pass_array
from burnish.fourier.filters import low_pass


@pytest.mark.parametrize("shape", [(24, 24, 24), (25, 25, 25), (20, 27, 32)])
@pytest.mark.parametrize("resolution", [2.9, 6.0, 11.0])
def test_same_as_the_full_transform(shape, resolution):
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    expected = low_pass(torch.from_numpy(values), resolution, 1.4)
    found = low_pass_array(values, resolution, 1.4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)
