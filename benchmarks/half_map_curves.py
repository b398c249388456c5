"""How closely half maps are fitted, and what it costs: Burnish and Servalcat, each at several of its weights.

    python benchmarks/half_map_curves.py CASES.json --servalcat BIN --monomers CLIBD_MON [--only NAME…]
        [--closeness 1 2 4] [--weights 0.1 0.3 1] [--no-hydrogens] --out RECORD.json [--picture PNG]

CASES.json is that of `refine_em.py`; cases without `half1` are left out. Burnish runs with `--closeness`, Servalcat
with its automatic weight times each of --weights. Every model is judged as there: Servalcat with zero cycles, against
the mean of the half maps for the refinement against both, against each half map for the one against half map 1 alone.
Points that RECORD.json has already are not measured again. With --no-hydrogens both programs and the judge leave them
out: maps that were simulated from heavy atoms alone have none.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from refine_em import Tools, judged, rms_between, run_burnish, run_servalcat

Point = dict[str, Any]


def automatic_weight(case: dict[str, Any], folder: Path, tools: Tools) -> float:
    """The weight that Servalcat chooses for these maps and this model."""
    judged(Path(case["start"]), case, folder, tools, half1_only=False)
    found = re.findall(r"Will use weight= ([\d.]+)", (folder / "judge.log").read_text())
    return float(found[-1])


def measured(case: dict[str, Any], program: str, factor: float, tools: Tools, *, hydrogens: bool) -> Point:
    """Both refinements of one program at one setting, judged."""
    point: Point = {"case": case["name"], "program": program, "factor": factor, "hydrogens": hydrogens}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if program == "burnish":
            given = ["--closeness", str(factor), *([] if hydrogens else ["--hydrogens", "remove"])]
            alone, cost = run_burnish(case, folder, tools, half1_only=True, given=given)
            both = alone.with_name("refined.cif")
        else:
            without = [] if hydrogens else ["--hydrogen", "no"]
            weight = factor * automatic_weight(case, folder, tools)
            given = ["--weight", f"{weight:.4f}", *without]
            both, cost = run_servalcat(case, folder, tools, half1_only=False, given=given)
            alone, _ = run_servalcat(case, folder, tools, half1_only=True, given=given)
        without = [] if hydrogens else ["--hydrogen", "no"]
        full = judged(both, case, folder, tools, half1_only=False, given=without)
        half = judged(alone, case, folder, tools, half1_only=True, given=without)
        point |= {"fsc": full["fsc"], "bond_z": full["bond_z"], "angle_z": full["angle_z"]}
        point |= {"work": half["half1"], "free": half["half2"], "cpu": cost.cpu}
        point |= {"rms": rms_between(both, case["truth"]), "rms_half1": rms_between(alone, case["truth"])}
    return point


def truth(case: dict[str, Any], tools: Tools, *, hydrogens: bool) -> Point:
    """What the judge says of the true model itself."""
    without = [] if hydrogens else ["--hydrogen", "no"]
    with tempfile.TemporaryDirectory() as name:
        path = Path(case["truth"])
        full = judged(path, case, Path(name), tools, half1_only=False, given=without)
        half = judged(path, case, Path(name), tools, half1_only=True, given=without)
    point: Point = {"case": case["name"], "program": "truth", "factor": 1.0, "hydrogens": hydrogens}
    point |= {"fsc": full["fsc"], "bond_z": full["bond_z"], "angle_z": full["angle_z"], "rms": 0.0, "rms_half1": 0.0}
    return point | {"work": half["half1"], "free": half["half2"], "cpu": 0.0}


def row_of(point: Point) -> str:
    """One line of the table."""
    name = point["case"] if point["hydrogens"] else f"{point['case']}, no hydrogens"
    return (
        f"| {name} | {point['program']} × {point['factor']:g} | "
        f"{point['fsc']:.4f} | {point['work']:.4f} / {point['free']:.4f} | {point['work'] - point['free']:.3f} | "
        f"{point['bond_z']:.2f} / {point['angle_z']:.2f} | {point['rms']:.3f} / {point['rms_half1']:.3f} |"
    )


def picture(points: list[Point], path: Path) -> None:
    """Free correlation and distance to the truth over the correlation with the mean map, a column for each case."""
    cases = list(dict.fromkeys((p["case"], p["hydrogens"]) for p in points))
    figure, axes = plt.subplots(2, len(cases), figsize=(4.2 * len(cases), 6.4), squeeze=False, layout="constrained")
    colours = {"burnish": "#1f6fb2", "servalcat": "#c8641e"}
    for column, case in enumerate(cases):
        own = [p for p in points if (p["case"], p["hydrogens"]) == case]
        for program, colour in colours.items():
            line = sorted((p for p in own if p["program"] == program), key=lambda p: p["factor"])
            usual = [p for p in line if p["factor"] == 1.0]
            for k, quantity in enumerate(("free", "rms")):
                ax = axes[k][column]
                ax.plot(
                    [p["fsc"] for p in line],
                    [p[quantity] for p in line],
                    "o-",
                    ms=4,
                    color=colour,
                    label=program.title(),
                )
                ax.plot([p["fsc"] for p in usual], [p[quantity] for p in usual], "o", ms=9, mfc="none", color=colour)
        for k, quantity in enumerate(("free", "rms")):
            for p in own:
                if p["program"] == "truth":
                    axes[k][column].plot(p["fsc"], p[quantity], "k*", ms=10, label="the true model")
        title = case[0] if case[1] else f"{case[0]}, no hydrogens"
        axes[0][column].set(title=title, ylabel="FSC with half map 2, not seen")
        axes[1][column].set(xlabel="FSC average with the mean map", ylabel="rms to the truth, Å")
        for ax in axes[:, column]:
            ax.locator_params(axis="x", nbins=5)
        axes[0][column].legend(fontsize=8, title="rings: by default", title_fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Every point that is not yet known, then the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--servalcat", required=True)
    parser.add_argument("--monomers", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--closeness", nargs="*", type=float, default=[1.0, 2.0, 4.0])
    parser.add_argument("--weights", nargs="*", type=float, default=[0.1, 0.3, 1.0])
    parser.add_argument("--truth", action="store_true", help="judge the true model as well")
    parser.add_argument("--no-hydrogens", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    tools = Tools(servalcat=given.servalcat, monomers=given.monomers)
    hydrogens = not given.no_hydrogens
    points: list[Point] = json.loads(given.out.read_text()) if given.out.exists() else []
    known = {(p["case"], p["program"], p["factor"], p["hydrogens"]) for p in points}
    settings = [*(("burnish", f) for f in given.closeness), *(("servalcat", f) for f in given.weights)]
    settings += [("truth", 1.0)] if given.truth else []
    for case in json.loads(given.cases.read_text()):
        if "half1" not in case or (given.only and case["name"] not in given.only):
            continue
        for program, factor in settings:
            if (case["name"], program, factor, hydrogens) in known:
                continue
            new = (
                truth(case, tools, hydrogens=hydrogens)
                if program == "truth"
                else measured(case, program, factor, tools, hydrogens=hydrogens)
            )
            points.append(new)
            given.out.write_text(json.dumps(points, indent=1) + "\n")
            print(row_of(new), flush=True)
    if given.picture:
        picture(points, given.picture)


if __name__ == "__main__":
    main()
