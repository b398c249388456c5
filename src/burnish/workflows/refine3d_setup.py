"""From the inputs of `burnish refine3d` to what its engine works with."""

from __future__ import annotations

import torch

from burnish.core.events import Listener
from burnish.options.refine3d import Refine3DOptions
from burnish.particles.expectation import Setup
from burnish.particles.images import CtfMode
from burnish.particles.reconstruct import soft_sphere
from burnish.particles.store import BlockStore, ParticleSet
from burnish.symmetry.point_groups import point_group
from burnish.workflows.refine3d_inputs import Inputs, MemoryPlan

_MASK_EDGE = 5.0  # voxels


def make_setup(
    options: Refine3DOptions, inputs: Inputs, symmetry: str, plan: MemoryPlan, device: str, listener: Listener
) -> Setup:
    """Everything that stays the same through a refinement, in this process or in a worker's.

    Parameters
    ----------
    symmetry : canonical name of the point group.
    plan : of the memory.
    device : where all that grows with the number of particles is computed.
    """
    rows, particles = inputs.rows, inputs.file.particles
    d = particles.defocus
    group = torch.unique(particles.group[rows], return_inverse=True)[1]  # groups without particles take no part
    chosen = ParticleSet(
        images=lambda index: inputs.stacks.read(rows[index]),
        announce=lambda index: inputs.stacks.announce(rows[index]),
        optics=particles.optics,
        optics_index=particles.optics_index[rows],
        defocus=type(d)(u=d.u[rows], v=d.v[rows], angle=d.angle[rows], phase_shift=d.phase_shift[rows],
                        b_factor=d.b_factor[rows], scale=d.scale[rows]),
        half_set=inputs.half_set,
        group=group,
    )  # fmt: skip
    mode = CtfMode(
        correct=options.ctf_correction,
        phase_flipped=options.phase_flipped,
        skip_first_peak=options.ignore_ctf_until_first_peak,
    )
    frame = inputs.frame
    store = BlockStore(
        frame,
        chosen,
        mode,
        block_size=plan.block_size,
        budget=int(plan.images),
        zero_mask=options.zero_mask,
        chunk=options.chunk,
        device=device,
    )
    sphere = soft_sphere(frame.size, frame.mask_radius / frame.pixel_size, _MASK_EDGE)
    return Setup(
        store=store,
        operators=point_group(symmetry),
        symmetry=symmetry,
        reference_has_ctf=options.reference_ctf_corrected,
        flattened_fsc=options.solvent_flattened_fsc,
        mask=sphere if inputs.mask is None else inputs.mask,
        find_masks=options.find_masks and inputs.mask is None,
        join_shell=frame.shell(options.join_halves) if options.join_halves > 0 else 0.0,
        offset_range=options.offset_range,
        offset_step=options.offset_step,
        seed=options.seed,
        threads=options.threads,
        listener=listener,
    )
