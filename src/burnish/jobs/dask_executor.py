"""Tasks on Dask workers: processes of this machine, jobs of SLURM or PBS, or whatever a scheduler's address offers.

dask.distributed and dask-jobqueue are the extra `cluster` and imported only here.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

import yaml

from burnish.core.errors import DataError, InputError, ResourceError
from burnish.core.events import Listener, Message
from burnish.jobs.dask_rescue import free_stuck
from burnish.jobs.executors import Executor, LocalExecutor, Outcome, call
from burnish.options.executor import ExecutorOptions

_PATIENCE = 60.0  # s for a scheduler to answer, or for workers of this machine to start
_DEATHS = 20  # of workers in the middle of one task after which the task is blamed
_STARTS = 4  # attempts to start the workers of this machine
_PULSE = 2.0  # s between looks for workers that are gone
_OF_SCHEDULER = {"dashboard_address", "host", "scheduler_options", "security", "shared_temp_directory"}
# What Dask does beside the tasks: it would look at every worker's stack a hundred times a second.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.system-monitor.gil.enabled": False,
}
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Tasks run in a thread, whose memory the C library would keep apart from the main thread's and, as Dask starts workers,
# hand back to the system 64 kB at a time.
_BEFORE_START = {"distributed.nanny.pre-spawn-environ": _ENVIRONMENT | {"MALLOC_ARENA_MAX": "1"}}


@contextmanager
def open_executor(options: ExecutorOptions, listener: Listener, *, threads: int = 1) -> Iterator[Executor]:
    """The executor that the options ask for, ended with the block.

    Parameters
    ----------
    threads : that each task uses; says how many workers this machine takes where that is not given.
    """
    if options.in_this_process:
        yield LocalExecutor()
        return
    try:
        import distributed  # noqa: F401  (an extra)
    except ImportError:
        raise InputError(
            f"--executor {options.executor}: needs dask.distributed; pip install 'burnish[cluster]'"
        ) from None
    executor = _open(options, listener, threads)
    if executor.dashboard:
        listener(Message(f"Dask's dashboard: {executor.dashboard}"))
    try:
        yield executor
    finally:
        executor.close()


def _open(options: ExecutorOptions, listener: Listener, threads: int) -> DaskExecutor:
    import dask
    from distributed import Client

    # a scheduler of somebody else's has settings of its own; that of ours lives in this process
    dask.config.set({"distributed.scheduler.allowed-failures": _DEATHS, **_QUIET, **_BEFORE_START})
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is told below
    cluster: Any = None
    if options.executor in ("local", "dask"):
        count = options.workers or max(1, _cores() // threads)
        cluster = _local_cluster(count, threads)
    elif options.executor in ("slurm", "pbs"):
        count = options.workers or 1
        cluster = _queue_cluster(options.executor, options.cluster, count, threads)
    try:
        client = Client(cluster if cluster is not None else options.executor, timeout=_PATIENCE)
    except OSError as error:
        raise InputError(
            f"--executor {options.executor}: no scheduler answers there ({' '.join(str(error).split())})"
        ) from None
    executor = DaskExecutor(client, cluster, listener, revives=options.executor in ("local", "dask"))
    if options.executor in ("local", "dask"):
        client.wait_for_workers(count, timeout=_PATIENCE)
    elif not executor.workers:
        listener(Message(f"waiting for the first worker of {options.executor}"))
        client.wait_for_workers(1)
    return executor


def _local_cluster(count: int, threads: int) -> Any:
    from distributed import Nanny, Scheduler, SpecCluster

    gpus = count_gpus()
    workers = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,  # tasks at a time; each has threads of its own
                "memory_limit": 0,  # planned by each task; Dask would kill a worker that nears its share
                "env": _ENVIRONMENT | gpu_of_worker(number, gpus),
                "host": "127.0.0.1",
                "silence_logs": logging.CRITICAL,
            },
        }
        for number in range(count)
    }
    # the dashboard shows and does nothing, but has no password: loopback only
    address = "127.0.0.1:0"
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": address}}
    for attempt in range(_STARTS):
        try:
            return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)
        except RuntimeError as error:  # a worker that dies while it starts takes the whole start down
            if attempt == _STARTS - 1:
                raise ResourceError(f"{count} workers: did not start on this machine ({error})") from error
    raise AssertionError  # not reached


def _queue_cluster(kind: str, settings: Path | None, count: int, threads: int) -> Any:
    import dask
    from dask_jobqueue import PBSCluster, SLURMCluster

    command = {"slurm": "sbatch", "pbs": "qsub"}[kind]
    if shutil.which(command) is None:
        raise InputError(f"--executor {kind}: no `{command}` here; run on a machine that can submit jobs to the queue")
    given = _read_settings(settings)
    given.setdefault("job_script_prologue", []).extend(f"export {k}={v}" for k, v in _ENVIRONMENT.items())
    given.setdefault("worker_extra_args", []).extend(["--nthreads", "1"])  # one task at a time has all the cores
    if dask.config.get(f"jobqueue.{kind}.cores", None) is None:
        given.setdefault("cores", threads)
    make: Any = {"slurm": SLURMCluster, "pbs": PBSCluster}[kind]
    # a cluster that fails in its constructor cannot be closed: settings are tried on a job first
    of_job = {name: value for name, value in given.items() if name not in _OF_SCHEDULER}
    try:
        make.job_cls(scheduler="tcp://127.0.0.1:0", name="0", processes=1, **of_job)
    except (TypeError, ValueError) as error:
        where = settings or "the configuration of dask-jobqueue"
        raise InputError(
            f"{where}: {' '.join(str(error).split())}; a queue needs at least the memory of a worker"
        ) from None
    cluster = make(processes=1, **given)
    cluster.scale(jobs=count)
    return cluster


def _read_settings(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--cluster {path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or "processes" in found:
        raise DataError(
            f"{path}: expected settings by name, as 'cores: 4' and 'memory: 16GB', without 'processes' "
            "(a job holds one worker)"
        )
    return found


def count_gpus() -> int:
    """CUDA devices that this process may use, without starting CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([v for v in visible.split(",") if v.strip() and v.strip() != "-1"])
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def gpu_of_worker(number: int, gpus: int) -> dict[str, str]:
    """Environment that shows a worker of this machine one GPU; workers beyond their number share them in turn."""
    if gpus == 0:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [v.strip() for v in visible.split(",")] if visible else [str(g) for g in range(gpus)]
    return {"CUDA_VISIBLE_DEVICES": names[number % gpus]}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@final
class DaskExecutor(Executor):
    """Tasks on the workers of a client; a task whose worker dies is done again by another one."""

    def __init__(self, client: Any, cluster: Any, listener: Listener, *, revives: bool = False) -> None:
        self._client, self._cluster, self._listener = client, cluster, listener
        self._closing = threading.Event()
        self._revives = revives
        threading.Thread(target=self._look_after, name="look-after-workers", daemon=True).start()
        self._known: set[str] = set()
        self._number = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a scheduler without bokeh has no dashboard, and says so
            self.dashboard = client.dashboard_link or None

    @property
    def workers(self) -> int:
        return len(self._addresses())

    def submit(self, task: str, *arguments: Any, place: float | None = None) -> Any:
        addresses = self._addresses() if place is not None else []
        near = {}
        if place is not None and addresses:
            chosen = addresses[min(len(addresses) - 1, int(place * len(addresses)))]
            near = {"workers": [chosen], "allow_other_workers": True}
        self._number += 1
        key = f"{task.rpartition(':')[2]}-{os.getpid()}-{id(self):x}-{self._number}"
        return self._client.submit(call, task, *arguments, key=key, pure=False, **near)

    def completed(self, handles: Sequence[Any]) -> Iterator[Outcome]:
        from distributed import as_completed

        number = {handle.key: n for n, handle in enumerate(handles)}
        for future in as_completed(handles, raise_errors=False):
            self._tell_losses()
            if future.status == "finished":
                try:
                    yield Outcome(number[future.key], future.result())
                    continue
                except Exception as error:  # the worker died between the end of the task and the transfer
                    failure: BaseException = error
            else:
                failure = _explained(future)
            yield Outcome(number[future.key], error=failure)

    def close(self) -> None:
        self._closing.set()
        for part in (self._client, self._cluster):
            if part is not None:
                with suppress(TimeoutError, OSError):
                    part.close()

    def _look_after(self) -> None:
        """Help where Dask would wait for ever: after workers that died while they started, and see `free_stuck`."""
        while not self._closing.wait(_PULSE):
            with suppress(Exception):  # whatever fails is tried again
                if self._revives:
                    self._cluster.sync(self._replace_dead)
                self._client.run_on_scheduler(free_stuck)

    async def _replace_dead(self) -> None:
        for name, worker in list(self._cluster.workers.items()):
            if worker.status.name in ("closed", "failed"):
                del self._cluster.workers[name]
        await self._cluster._correct_state()

    def _addresses(self) -> list[str]:
        """Workers in an order that a restart of one changes little."""
        return sorted(self._client.scheduler_info(n_workers=-1)["workers"])

    def _tell_losses(self) -> None:
        now = set(self._addresses())
        for gone in sorted(self._known - now):
            self._listener(Message(f"worker {gone} was lost; what it had not handed over is done again", "warning"))
        self._known = now


def _explained(future: Any) -> BaseException:
    from distributed import KilledWorker

    if future.cancelled():
        return ResourceError("the scheduler has forgotten a task; it was restarted, or its last worker was lost")
    error: BaseException = future.exception()
    if isinstance(error, KilledWorker):
        return ResourceError(
            f"{_DEATHS} workers in turn died over one task, most often of too little memory; give each of them more"
        )
    return error
