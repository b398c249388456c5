"""`burnish run`: reading recipes, wiring inputs, stopping and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.particles.phantom import write_set
from tests.workflows.small_crystal import write_case

from burnish.cli import recipe as runner
from burnish.cli.main import main
from burnish.core.errors import DataError, InputError
from burnish.data.density import DensityMap
from burnish.io.mrc import write_map
from burnish.jobs.execution import options_model
from burnish.jobs.folder import Job
from burnish.jobs.project import find_project
from burnish.jobs.recipe import FOLDERS, find_recipe, fingerprint, read_recipe, resolve
from burnish.options.recipe import RecipeOptions
from burnish.options.table import COMMANDS as COMMANDS_OF_TABLE

COMMANDS = ("refine3d", "mask", "postprocess", "ctfrefine")


def write(text: str) -> Path:
    path = Path("recipe.yaml")
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reads_steps(folder):
    steps = read_recipe(
        write("name: x\nsteps:\n- {job: refine3d, name: a, options: {mask-diameter: 200}}\n- {job: mask}\n"), COMMANDS
    )
    assert [(s.place, s.command, s.name) for s in steps] == [(1, "refine3d", "a"), (2, "mask", "step2")]
    assert steps[0].options == {"mask_diameter": 200}
    assert steps[1].options == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [", "is not YAML"),
        ("- job: mask", "expected a list 'steps'"),
        ("steps: []", "at least one step"),
        ("steps: [{job: mask}]\nstep: 1", "unknown key 'step'"),
        ("steps: [mask]", "step 1: expected 'job'"),
        ("steps: [{job: mask}, {job: bake}]", "step 2: no command 'bake'; known are ctfrefine"),
        ("steps: [{job: mask, option: {}}]", "unknown key 'option'"),
        ("steps: [{job: mask, options: 3}]", "'options' is '3'"),
        ("steps: [{job: mask, options: {out: x}}]", "'out' is not for recipes"),
        ("steps: [{job: mask, name: a}, {job: mask, name: a}]", "'a' is used twice"),
        ("steps: [{job: mask, options: {map: '{b}/x.mrc'}}, {job: mask, name: b}]", "not the name of an earlier"),
    ],
)  # fmt: skip
def test_bad_recipes_are_refused(folder, text, message):
    with pytest.raises(DataError, match=message.replace("{", r"\{")):
        read_recipe(write(text), COMMANDS)


def test_missing_recipe(folder):
    with pytest.raises(DataError, match="cannot be read"):
        read_recipe(Path("none.yaml"), COMMANDS)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def test_inputs_come_from_the_newest_step_then_from_the_project(folder):
    touch("Refine3D/job001/run_data.star", "Refine3D/job001/run_class001.mrc")
    touch("CtfRefine/job004/particles_ctf_refine.star", "Old/job000/run_class001.mrc")
    (step,) = read_recipe(write("steps: [{job: refine3d, options: {symmetry: D2}}]"), COMMANDS)
    done = {"a": Path("Refine3D/job001"), "b": Path("CtfRefine/job004")}
    found = resolve(Path("r"), step, done, [Path("Old/job000")])
    assert found["particles"] == "CtfRefine/job004/particles_ctf_refine.star"
    assert found["reference"] == "Refine3D/job001/run_class001.mrc"
    only_project = resolve(Path("r"), step, {}, [Path("Old/job000"), Path("Refine3D/job001"), Path("CtfRefine/job004")])
    assert only_project["reference"] == "Refine3D/job001/run_class001.mrc"
    with pytest.raises(DataError, match=r"step 1 \(refine3d\): no particles_ctf_refine.star or run_data.star"):
        resolve(Path("r"), step, {}, [])


def test_given_options_and_references_stand(folder):
    touch("Refine3D/job001/run_class001.mrc")
    _, step = read_recipe(
        write("steps: [{job: refine3d, name: a}, {job: mask, options: {map: '{a}/other.mrc', lowpass: 20}}]"), COMMANDS
    )
    found = resolve(Path("r"), step, {"a": Path("Refine3D/job001/")}, [])
    assert found == {"map": "Refine3D/job001/other.mrc", "lowpass": 20}


def test_a_mask_from_outside_the_recipe_is_not_taken_for_postprocess(folder):
    touch("Refine3D/job001/run_half1_class001_unfil.mrc", "MaskCreate/job002/mask.mrc")
    (step,) = read_recipe(write("steps: [{job: postprocess}]"), COMMANDS)
    outside = resolve(Path("r"), step, {"a": Path("Refine3D/job001")}, [Path("MaskCreate/job002")])
    assert "mask" not in outside
    inside = resolve(Path("r"), step, {"a": Path("Refine3D/job001"), "m": Path("MaskCreate/job002")}, [])
    assert inside["mask"] == "MaskCreate/job002/mask.mrc"


def test_fingerprint_sees_options_and_files(folder):
    touch("map.mrc")
    (step,) = read_recipe(write("steps: [{job: mask, options: {map: map.mrc}}]"), COMMANDS)
    first = fingerprint(step, {"map": "map.mrc"})
    assert first == fingerprint(step, {"map": "map.mrc"})
    assert first != fingerprint(step, {"map": "map.mrc", "lowpass": 3})
    Path("map.mrc").write_text("other content")
    assert first != fingerprint(step, {"map": "map.mrc"})


def write_half_maps() -> None:
    g = torch.Generator().manual_seed(1)
    axis = torch.arange(24) - 12.0
    r2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    blob = torch.exp(-r2 / 40) * (1 + 0.5 * torch.sin(axis))
    Path("Refine3D/job001").mkdir(parents=True)
    for name in ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc", "run_class001.mrc"):
        noisy = blob + 0.02 * torch.randn(blob.shape, generator=g)
        write_map(Path("Refine3D/job001", name), DensityMap(values=noisy, voxel_size=(3.0,) * 3))


def run(*arguments: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "recipe.yaml", *arguments])
    assert end.value.code == code


RECIPE = """
steps:
  - job: mask
    options: {map: Refine3D/job001/run_class001.mrc, lowpass: 12, threshold: 0.2, soft-edge: 3}
  - job: postprocess
    options: {half1: Refine3D/job001/run_half1_class001_unfil.mrc, bfactor: 0}
"""


def test_runs_steps_and_skips_what_is_done(folder, capsys):
    write_half_maps()
    write(RECIPE)
    run("--json")
    steps = json.loads(capsys.readouterr().out.splitlines()[-1])["steps"]
    assert [s["job"] for s in steps] == ["mask", "postprocess"]
    mask, post = (Path(s["folder"]) for s in steps)
    assert (mask / "mask.mrc").exists() and (post / "postprocess.mrc").exists()
    assert str(mask / "mask.mrc") in (post / "postprocess.star").read_text()
    project = find_project(Path())
    assert project is not None
    assert {p.name: p.status for p in project.read().processes} == {f"{mask}/": "Succeeded", f"{post}/": "Succeeded"}
    run()
    assert capsys.readouterr().err.count("done already") == 2
    write(RECIPE.replace("bfactor: 0", "bfactor: -20"))
    run()
    assert capsys.readouterr().err.count("done already") == 1
    assert len(list(Path("PostProcess").glob("job*"))) == 2
    run("--fresh")
    assert "done already" not in capsys.readouterr().err


def test_goes_on_after_a_failed_step(folder, capsys):
    write_half_maps()
    half = Path("Refine3D/job001/run_half2_class001_unfil.mrc")
    content = half.read_bytes()
    half.write_bytes(content[:2000])
    write(RECIPE)
    run(code=2)
    error = capsys.readouterr().err
    assert "step 2 (postprocess): failed" in error
    half.write_bytes(content)
    run()
    assert capsys.readouterr().err.count("done already") == 1
    assert len(list(Path("MaskCreate").glob("job*"))) == 1


def test_dry_run_checks_only(folder, capsys):
    write(RECIPE)
    run("--dry-run", "--json")
    assert len(json.loads(capsys.readouterr().out)["steps"]) == 2
    assert sorted(p.name for p in Path().iterdir()) == ["recipe.yaml"]


def test_another_project_folder(folder):
    Path("p").mkdir()
    (folder / "elsewhere").mkdir()
    write_half_maps()
    Path("Refine3D").rename("p/Refine3D")
    write(RECIPE)
    run("--project", "p")
    assert list(Path("p").glob("PostProcess/job*/postprocess.mrc"))
    assert Path.cwd() == folder


def test_unreadable_state_runs_everything(folder):
    Path("state.json").write_text("{")
    assert runner._read_state(Path("state.json")) == {}


PARAMETERS = (
    "parameters:\n  map: {about: the map}\n  edge: {default: 6}\n  mtf: {default: null}\nsteps:\n"
    "- {job: mask, options: {map: '{map}', soft-edge: '{edge}'}}\n"
    "- {job: postprocess, options: {half1: '{step1}/{edge}.mrc', mtf: '{mtf}'}}\n"
)


def test_parameters_fill_options_with_their_types(folder):
    steps = read_recipe(write(PARAMETERS), COMMANDS, ("map=a.mrc",))
    assert steps[0].options == {"map": "a.mrc", "soft_edge": 6}
    assert steps[1].options == {"half1": "{step1}/6.mrc"}
    steps = read_recipe(write(PARAMETERS), COMMANDS, ("map=a.mrc", "edge=2.5", "mtf=k2.star"))
    assert steps[0].options["soft_edge"] == 2.5
    assert steps[1].options["mtf"] == "k2.star"


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        (PARAMETERS, (), r"needs --set map=… \(the map\)"),
        (PARAMETERS, ("map=a", "edg=3"), "no parameter 'edg'; its parameters: map, edge, mtf"),
        (PARAMETERS.replace("edge: {default: 6}", "edge: 6"), ("map=a",), "parameter 'edge': expected 'default'"),
        (PARAMETERS.replace("{about: the map}", "{abuot: x}"), ("map=a",), "parameter 'map': expected 'default'"),
        (PARAMETERS.replace("edge: {default: 6}", "step1: {default: 6}"), ("map=a",), "of a step and of a parameter"),
    ],
)  # fmt: skip
def test_parameters_that_are_wrong(folder, text, given, message):
    with pytest.raises((DataError, InputError), match=message):
        read_recipe(write(text), COMMANDS, given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("map", ("particles=p.star", "reference=r.mrc")),
        ("crystal", ("model=m.cif", "data=d.mtz")),
        ("model", ("particles=p.star", "reference=r.mrc", "model=m.cif", "resolution=3.5")),
    ],
)
def test_recipes_that_come_along_fit_their_commands(folder, name, given):
    """Every option of every step is one that the command takes, with a value that it takes."""
    usable = {c.name: c for c in COMMANDS_OF_TABLE if c.project_folder or c.name in FOLDERS}
    steps = read_recipe(find_recipe(Path(name)), tuple(usable), given)
    for step in steps:
        options_model(usable[step.command]).model_validate({**step.options, "out": "x"})
    main_status = runner.run(RecipeOptions(recipe=Path(name), set=given, dry_run=True), Job("run", folder, {}))
    assert len(main_status["steps"]) == len(steps)


def test_a_recipe_that_is_nowhere(folder):
    with pytest.raises(DataError, match="no such recipe; give a YAML file, or one of crystal, map, model"):
        find_recipe(Path("mpa"))


def test_the_crystal_recipe_from_start_to_deposition(folder):
    write_case(folder)
    given = ("model=model.cif", "data=data.mtz", "rounds=1", "cycles=2")
    runner.run(RecipeOptions(recipe=Path("crystal"), set=given), Job("run", folder, {}, keeps_record=False))
    pipeline = find_project(folder).read()
    assert [p.name.split("/")[0] for p in pipeline.processes] == ["Refine", "Cycle", "Validate", "Deposit"]
    assert {p.status for p in pipeline.processes} == {"Succeeded"}
    assert "Refine/job001/" in pipeline.previous("Cycle/job002/")
    assert (folder / "Deposit/job004/model.cif").exists()


@pytest.mark.slow
def test_the_map_recipe_from_particles_to_a_second_map(folder):
    write_set(folder, symmetry="D2", count=60, noise=1.0)
    given = ("particles=particles.star", "reference=initial.mrc", "mask-diameter=90", "symmetry=D2",
             "initial-lowpass=30", "beam-tilt=false")  # fmt: skip
    runner.run(RecipeOptions(recipe=Path("map"), set=given), Job("run", folder, {}, keeps_record=False))
    pipeline = find_project(folder).read()
    assert len(pipeline.processes) == 7
    assert {p.status for p in pipeline.processes} == {"Succeeded"}
    assert "CtfRefine/job004/" in pipeline.previous("Refine3D/job005/")
    assert (folder / "PostProcess/job007/postprocess.mrc").exists()
