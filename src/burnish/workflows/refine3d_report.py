"""Report of a refinement, made anew after every iteration: `report.html`, `logfile.pdf`, `report.png`."""

from __future__ import annotations

from burnish.io.atomic import write_aside, write_text
from burnish.io.euler import euler_from_matrices
from burnish.maps.surface import shade_surface
from burnish.particles.refinement import Iteration
from burnish.reports.figures import as_pdf, as_png, house_style
from burnish.reports.page import render
from burnish.reports.refine3d import Refine3DReport, refine3d_figures, refine3d_page
from burnish.workflows.refine3d_outputs import Outputs


def write_report(
    outputs: Outputs, iteration: Iteration, history: list[dict[str, float]], said: list[str], *, finished: bool
) -> None:
    """Draw and write the report as it stands."""
    maps, frame, job = iteration.maps, outputs.setup.store.frame, outputs.job
    density = maps.halves.mean(0) if maps.joined is None else maps.joined
    rot, tilt, _ = euler_from_matrices(iteration.state.rotation)
    threshold = 3.0 * float(density.std())
    report = Refine3DReport(
        title=f"3D refinement of {outputs.options.particles.name if outputs.options.particles else 'particles'}",
        finished=finished,
        history=history,
        fsc=maps.fsc.numpy(),
        fsc_masked=maps.fsc_masked.numpy(),
        box_length=frame.size * frame.pixel_size,
        pixel_size=frame.pixel_size,
        density=density.numpy(),
        surface=shade_surface(density.numpy(), threshold),
        rot_deg=rot,
        tilt_deg=tilt,
        max_weight=iteration.tally.max_weight.numpy(),
        remarks=outputs.inputs.remarks,
        findings=said,
        inputs=[
            ("particles", f"{outputs.options.particles}: {len(outputs.inputs.rows)}"),
            ("reference", str(outputs.options.reference)),
            ("symmetry", outputs.symmetry),
            ("mask diameter", f"{outputs.options.mask_diameter:g} Å"),
            ("initial low-pass", f"{outputs.options.initial_lowpass:g} Å"),
            ("seed", str(outputs.options.seed)),
        ],
    )
    with house_style():
        figures = refine3d_figures(report)
        pictures = [(as_png(f), caption) for f, caption in figures]
        if finished:
            with write_aside(job.path("logfile.pdf")) as aside:
                aside.write_bytes(as_pdf([f for f, _ in figures], report.title))
    with write_aside(job.path("report.png")) as aside:
        aside.write_bytes(pictures[-1][0])
    write_text(job.path("report.html"), render(refine3d_page(report, pictures)))
