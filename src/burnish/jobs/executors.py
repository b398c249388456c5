"""Where tasks run: in this process, or on Dask workers (`burnish.jobs.dask_executor`).

A task is named by its import path ("burnish.worker.refine3d:expect_chunk"), so that the process that asks for it need
not import what does it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task; `error` is None where it was done."""

    number: int
    value: Any = None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        """The value; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.value


def call(task: str, *arguments: Any) -> Any:
    """Do a task by its import path."""
    module, _, name = task.partition(":")
    return getattr(import_module(module), name)(*arguments)


class Executor(ABC):
    """Takes tasks, keeps their values where they were made, hands over those that are asked for."""

    dashboard: str | None = None

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many tasks can run at the same time."""

    @abstractmethod
    def submit(self, task: str, *arguments: Any, place: float | None = None) -> Any:
        """A handle of the task's value.

        Parameters
        ----------
        arguments : plain values, or handles of other tasks.
        place : from 0 to 1: tasks of neighbouring places go to the same worker where that costs no waiting, so that it
            finds in its memory what it had read before.
        """

    @abstractmethod
    def completed(self, handles: Sequence[Any]) -> Iterator[Outcome]:
        """What became of tasks, as they end; `number` is the place in the list."""

    @abstractmethod
    def close(self) -> None:
        """End what was started for this executor."""

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """Values in the order of the handles; raises the first error."""
        found = {outcome.number: outcome.unwrap() for outcome in self.completed(handles)}
        return [found[n] for n in range(len(handles))]


@dataclass(slots=True, eq=False)
class _Later:
    """A task of the local executor: done when its value is first needed."""

    task: str
    arguments: tuple[Any, ...]
    value: Any = None
    done: bool = False

    def result(self) -> Any:
        if not self.done:
            self.value = call(self.task, *(a.result() if isinstance(a, _Later) else a for a in self.arguments))
            self.done, self.arguments = True, ()
        return self.value


@final
class LocalExecutor(Executor):
    """One task after the other in this process, in the order in which they are asked for."""

    @property
    def workers(self) -> int:
        return 1

    def submit(self, task: str, *arguments: Any, place: float | None = None) -> _Later:
        return _Later(task, arguments)

    def completed(self, handles: Sequence[Any]) -> Iterator[Outcome]:
        for number, handle in enumerate(handles):
            try:
                outcome = Outcome(number, handle.result())
            except Exception as error:  # of any kind: whoever asked decides what it means
                outcome = Outcome(number, error=error)
            yield outcome

    def close(self) -> None:
        pass
