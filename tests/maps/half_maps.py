"""Simulated half maps whose agreement falls with resolution."""

import torch

from burnish.fourier.filters import filter_radially


def simulated_halves(n=48, noise=0.35, seed=1):
    """Return two half maps and the truth: blobs in a ball, signal falling to nothing before Nyquist, white noise."""
    g = torch.Generator().manual_seed(seed)
    z, y, x = torch.meshgrid(*[torch.arange(n) - n // 2] * 3, indexing="ij")
    ball = ((x**2 + y**2 + z**2).float().sqrt() < n * 0.28).float()
    truth = filter_radially(torch.rand(n, n, n, generator=g) * ball, lambda r: torch.exp(-((r / (0.22 * n)) ** 2)))
    truth /= truth.std()
    halves = [truth + noise * torch.randn(n, n, n, generator=g) for _ in range(2)]
    return halves[0], halves[1], truth
