"""A project folder: history, numbers, aliases, locks, killed jobs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from burnish.core.errors import DataError, InputError
from burnish.jobs.folder import Job
from burnish.jobs.pipeline import Node, Pipeline, Process, format_pipeline, new_process, read_pipeline
from burnish.jobs.project import Project, find_project, init_project
from burnish.jobs.record import read_record, stale_inputs


def test_relion_project_is_read_with_its_history(shared_data: Path) -> None:
    pipeline = read_pipeline(shared_data / "em/relion_jobs/starfile_relion/default_pipeline.star")
    assert pipeline.job_counter == 32
    assert len(pipeline.processes) == 31
    assert pipeline.previous("Refine3D/job025/") == ["Refine3D/job019/", "CtfRefine/job024/"]
    process = pipeline.process("Refine3D/ctfrefined")
    assert process is not None
    assert (process.name, process.type_label, process.status) == ("Refine3D/job025/", "relion.refine3d", "Succeeded")


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    pipeline = Pipeline(
        job_counter=3,
        processes=(
            new_process("Import/job001/", "Succeeded"),
            Process(name="Odd/job002/", alias="Odd/x/", status="Failed"),
        ),
        nodes=(Node(name="Import/job001/particles.star", type_number="3", type_label="ParticlesData.star.relion"),),
        inputs=(("Import/job001/particles.star", "Odd/job002/"),),
        outputs=(("Import/job001/", "Import/job001/particles.star"),),
    )
    path = tmp_path / "default_pipeline.star"
    path.write_text(format_pipeline(pipeline))
    assert read_pipeline(path) == pipeline


def test_labels_of_relion_5_alone_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "default_pipeline.star"
    path.write_text(
        "# version 50001\ndata_pipeline_general\n_rlnPipeLineJobCounter 2\n\ndata_pipeline_processes\nloop_\n"
        "_rlnPipeLineProcessName #1\n_rlnPipeLineProcessAlias #2\n_rlnPipeLineProcessTypeLabel #3\n"
        "_rlnPipeLineProcessStatusLabel #4\nRefine3D/job001/ None relion.refine3d.tomo Running\n"
    )
    (process,) = read_pipeline(path).processes
    assert (process.status, process.type_label, process.type_number) == ("Running", "relion.refine3d.tomo", "10")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "job counter"),
        ("data_pipeline_general\n_rlnPipeLineJobCounter many\n", "job counter"),
        ("loop_ loop_ loop_", "STAR"),
        (
            "data_pipeline_general\n_rlnPipeLineJobCounter 2\ndata_pipeline_processes\nloop_\n_rlnPipeLineProcessName\n"
            "_rlnPipeLineProcessStatusLabel\nA/job001/ Asleep\n",
            "Asleep",
        ),
    ],
)
def test_a_damaged_pipeline_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "default_pipeline.star"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_pipeline(path)


@pytest.mark.skipif(shutil.which("relion_pipeliner") is None, reason="needs RELION's relion_pipeliner")
def test_relion_accepts_our_history_and_we_its_rewriting(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    with project.changing() as held:
        held[0] = held[0].with_process(new_process("Refine3D/job001/", "Succeeded"))
    (tmp_path / ".pipeline_has_changed").touch()  # makes RELION read and write it
    subprocess.run(["relion_pipeliner", "--check_job_completion"], cwd=tmp_path, check=True, capture_output=True)
    assert "TypeLabel" not in project.index.read_text()
    (process,) = project.read().processes
    assert (process.name, process.type_label, process.status) == ("Refine3D/job001/", "relion.refine3d", "Succeeded")


def _run_job(project: Project, kind: str, inputs: list[Path], outputs: list[str]) -> Path:
    name = project.next_name(kind)
    job = Job(kind.lower(), project.folder / name, {}, project=project)
    job.begin(inputs)
    for output in outputs:
        job.path(output).write_text("result")
    job.finish({})
    return project.folder / name


def test_jobs_are_linked_by_the_files_they_share(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    first = _run_job(project, "Refine3D", [], ["run_data.star", "run_half1_class001_unfil.mrc", "notes.txt"])
    second = _run_job(project, "PostProcess", [first / "run_half1_class001_unfil.mrc"], ["postprocess.star"])
    pipeline = project.read()
    assert pipeline.job_counter == 3
    assert pipeline.following("Refine3D/job001/") == ["PostProcess/job002/"]
    assert pipeline.previous("PostProcess/job002/") == ["Refine3D/job001/"]
    assert {n.name for n in pipeline.nodes} == {
        "Refine3D/job001/run_data.star",
        "Refine3D/job001/run_half1_class001_unfil.mrc",
        "PostProcess/job002/postprocess.star",
    }
    assert (first / "RELION_JOB_EXIT_SUCCESS").exists()
    record = read_record(second)
    assert record is not None
    assert stale_inputs(record, tmp_path) == []
    (first / "run_half1_class001_unfil.mrc").write_text("another result")
    assert len(stale_inputs(record, tmp_path)) == 1


def test_aliases_are_links_and_are_found(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    _run_job(project, "Refine3D", [], [])
    project.set_alias("Refine3D/job001/", "first")
    assert (tmp_path / "Refine3D" / "first").resolve() == (tmp_path / "Refine3D" / "job001").resolve()
    for asked in ("first", "1", "job001", "Refine3D/job001", "Refine3D/first/"):
        assert project.find(asked).name == "Refine3D/job001/"
    project.set_alias("Refine3D/job001/", "")
    assert not (tmp_path / "Refine3D" / "first").is_symlink()
    with pytest.raises(InputError, match="letters, digits"):
        project.set_alias("Refine3D/job001/", "../escape")
    with pytest.raises(InputError, match="no job '7'"):
        project.find("7")


def _take_numbers(folder: str) -> list[str]:
    project = find_project(Path(folder))
    assert project is not None
    return [project.next_name("Refine3D") for _ in range(20)]


def test_two_processes_never_get_the_same_number(tmp_path: Path) -> None:
    init_project(tmp_path)
    with ProcessPoolExecutor(2) as pool:
        taken = [name for names in pool.map(_take_numbers, [str(tmp_path)] * 2) for name in names]
    assert len(set(taken)) == 40
    assert not (tmp_path / ".relion_lock").exists()


def test_a_lock_left_by_a_killed_process_is_broken(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    (tmp_path / ".relion_lock").mkdir()
    (tmp_path / ".relion_lock" / "burnish").touch()
    assert project.next_name("Refine3D") == "Refine3D/job001/"


def test_a_killed_job_is_found_and_marked(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom burnish.jobs.folder import Job\n"
        "from burnish.jobs.project import find_project\n"
        "job = Job('refine', Path('ModelRefine/job001'), {}, project=find_project(Path()))\n"
        "job.begin()\nprint('begun', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    assert project.mark_killed() == []
    assert project.find("1").status == "Running"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while not (killed := project.mark_killed()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert killed == ["ModelRefine/job001/"]
    assert project.find("1").status == "Failed"


def _live_in(folder: str, jobs: int) -> None:
    """Begin and end jobs one after the other, each reading what another process may have made."""
    project = find_project(Path(folder))
    assert project is not None
    for number in range(jobs):
        known = [Path(folder) / n.name for n in project.read().nodes]
        job = _run_job(project, "Refine3D", [p for p in known if p.exists()][:2], ["run_data.star"])
        project.set_alias(f"Refine3D/{job.name}/", f"p{os.getpid()}n{number}")
        project.mark_killed()


def test_processes_that_share_a_project_do_not_damage_it(tmp_path: Path) -> None:
    """Three at work, one more killed in the middle again and again, a reader that never meets half a file."""
    project = init_project(tmp_path)
    code = f"from tests.jobs.test_project import _live_in; _live_in({str(tmp_path)!r}, 100000)"
    root = str(Path(__file__).resolve().parents[2])
    with ProcessPoolExecutor(2) as pool:
        working = [pool.submit(_live_in, str(tmp_path), 6) for _ in range(2)]
        for wait in (1.2, 1.35, 1.5):
            doomed = subprocess.Popen([sys.executable, "-c", code], cwd=root)
            time.sleep(wait)
            for _ in range(20):
                project.read()
            doomed.kill()
            doomed.wait()
        for done in working:
            done.result(timeout=60)
    project.mark_killed()
    pipeline = project.read()
    names = [p.name for p in pipeline.processes]
    assert len(names) == len(set(names)) >= 12
    assert pipeline.job_counter > max(int(n.rstrip("/")[-3:]) for n in names)
    assert sum(p.status == "Succeeded" for p in pipeline.processes) >= 12
    assert not any(p.status == "Running" for p in pipeline.processes)
    for process in pipeline.processes:
        record = read_record(tmp_path / process.name)
        if process.status == "Succeeded":
            assert record is not None and record.state == "finished"
            assert (process.name, process.name + "run_data.star") in pipeline.outputs
    assert {e[0] for e in pipeline.inputs} <= {n.name for n in pipeline.nodes}
    assert not list(tmp_path.glob(".partial-*default*")) or project.read() == pipeline
