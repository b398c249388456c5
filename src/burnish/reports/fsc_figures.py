"""Figures and page of post-processing."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from burnish.maps.postprocess import THRESHOLD, PostprocessResult
from burnish.maps.sharpening import EMPTY
from burnish.reports.colours import BLUE, GREEN, GREY, INK, ORANGE, RED
from burnish.reports.figures import new_figure, resolution_axis
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table


def fsc_figure(result: PostprocessResult) -> Figure:
    """All FSC curves with the 0.143 and 0.5 lines; call inside `house_style`."""
    figure, (axes,) = new_figure(8.0, 4.2)
    s = np.arange(len(result.final)) / result.box_length
    curves = result.curves
    if curves is not None:
        axes.plot(s, curves.unmasked.numpy(), color=GREEN, label="unmasked maps")
        axes.plot(s, curves.masked.numpy(), color=BLUE, label="masked maps")
        axes.plot(s, curves.randomised.numpy(), color=RED, label="masked, phases randomised")
        axes.plot(s, curves.part.numpy(), color=ORANGE, lw=1.1, ls="--", label="particle's part (cisTEM)")
    axes.plot(s, result.final.numpy(), color=INK, lw=2.4, label="corrected" if result.mask_used else "final: unmasked")
    axes.axhline(THRESHOLD, color=GREY, lw=1, ls=":")
    axes.axhline(0.5, color=GREY, lw=0.6, ls=":")
    shell = result.resolution.shell
    axes.axvline(shell / result.box_length, color=GREY, lw=1, ls=":")
    axes.annotate(
        f"{result.resolution.at_shell:.2f} Å",
        (shell / result.box_length, THRESHOLD),
        xytext=(-6, 8),
        textcoords="offset points",
        ha="right",
        fontweight="bold",
    )
    axes.set(xlim=(0, s[-1]), ylim=(min(-0.1, float(result.final.min())), 1.03), ylabel="Fourier shell correlation")
    axes.set_title(f"Final resolution {result.resolution.at_shell:.2f} Å (FSC {THRESHOLD})")
    figure.legend(loc="outside right upper")
    resolution_axis(axes)
    return figure


def guinier_figure(result: PostprocessResult) -> Figure:
    """ln amplitude against s² at each step, with the fitted line; call inside `house_style`."""
    figure, (axes,) = new_figure(8.0, 4.2)
    g = result.guinier
    s2 = g.s2.numpy()
    steps = [("original", g.original, INK), ("weighted by FSC", g.weighted, BLUE), ("sharpened", g.sharpened, RED)]
    if g.without_mtf is not g.original:
        steps.insert(1, ("divided by the MTF", g.without_mtf, GREEN))
    for label, values, colour in steps:
        y = values.numpy()
        filled = y > EMPTY
        axes.plot(s2[filled], y[filled], color=colour, label=label)
    if g.fit is not None:
        axes.plot(s2, g.fit.intercept + g.fit.slope * s2, color=ORANGE, ls="--", lw=1.2, label="fit")
    axes.set(xlabel="1/d², Å⁻²", ylabel="ln mean amplitude", xlim=(0, s2[-1]))
    axes.set_title(f"Guinier plot, B factor applied {g.b_factor:.1f} Å²")
    figure.legend(loc="outside right upper")
    beyond = (s2 > 1 / 25**2) & (g.original.numpy() > EMPTY)
    shown = [v.numpy()[beyond & (v.numpy() > EMPTY)] for _, v, _ in steps]
    if any(len(v) for v in shown):  # the steep rise at low resolution would flatten all that matters
        low, high = min(v.min() for v in shown if len(v)), max(v.max() for v in shown if len(v))
        axes.set_ylim(max(low, high - 12) - 0.3, high + 0.7)
    return figure


def postprocess_page(
    result: PostprocessResult,
    said: list[str],
    pictures: list[tuple[bytes, str]],
    inputs: list[tuple[str, str]],
    title: str,
) -> Page:
    """Report of a post-processing.

    Parameters
    ----------
    result : what was found.
    said : findings as sentences.
    pictures : PNG and caption of each figure.
    inputs : (what, value) for the table of inputs.
    title : of the page.
    """
    r = result.resolution
    numbers = [("Resolution (FSC 0.143)", f"{r.at_shell:.2f} Å"), ("between shells", f"{r.between:.2f} Å")]
    numbers += [("at FSC 0.5", f"{result.half_resolution.at_shell:.2f} Å")]
    numbers += [("unmasked", f"{result.unmasked_resolution.at_shell:.2f} Å")]
    numbers += [("B factor", f"{result.guinier.b_factor:.1f} Å²")]
    blocks: list[Block] = [Numbers(numbers)]
    blocks += [Note(_sentence(text), "warning") for text in said]
    if not said:
        blocks.append(Note("Nothing unusual in the curves.", "good"))
    blocks.append(Note(_low_pass_advice(result)))
    figures: list[Block] = [Picture(png, caption) for png, caption in pictures]
    rows = [list(x) for x in inputs]
    sections = [
        Section("Result", blocks),
        Section("Curves", figures),
        Section("Inputs", [Table(["what", "value"], rows)]),
        Section("Numbers", [_curve_table(result)]),
    ]
    lead = (
        f"The half maps agree to {r.at_shell:.2f} Å; the map was sharpened with B = {result.guinier.b_factor:.0f} Å²."
    )
    return Page(title, lead, sections)


def _low_pass_advice(result: PostprocessResult) -> str:
    if result.low_pass is not None:
        return f"The map was low-passed at {result.low_pass:.2f} Å."
    d = result.resolution.at_shell
    return (
        f"The FSC weights already damp what is noise. Where noise still disturbs, low-pass the map at {d:.1f} Å; to "
        f"see domains and follow the chain, at {2 * d:.0f} Å."
    )


def _curve_table(result: PostprocessResult) -> Table:
    head = ["shell", "d, Å", "corrected"]
    columns = [result.final.tolist()]
    if result.curves is not None:
        head += ["unmasked", "masked", "randomised", "part"]
        c = result.curves
        columns += [x.tolist() for x in (c.unmasked, c.masked, c.randomised, c.part)]
    rows = []
    for shell in range(len(result.final)):
        d = "∞" if shell == 0 else f"{result.box_length / shell:.2f}"
        rows.append([str(shell), d, *(f"{column[shell]:.4f}" for column in columns)])
    return Table(head, rows, caption="FSC by shell", more=True)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
