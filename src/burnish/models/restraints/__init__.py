"""Prior knowledge of geometry and displacement as energies with gradients and Gauss–Newton curvature."""
