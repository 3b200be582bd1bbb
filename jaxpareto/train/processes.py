"""Many processes, on one host or many: how they meet, and how they end together.

Each process runs the same program on its own devices, and the devices of all of them
are one mesh (`train.mesh`). Process 0 speaks for all: it alone writes `metrics.jsonl`,
`front.json` and everything else but checkpoints, of which each process writes its part.
The folder of a run is one that all processes see.

When one process dies the others cannot go on. They end with status 1 and one line, and
the last checkpoint is whole; start all of them again with `--resume`.
"""

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, TypeVar

import jax
import numpy as np

from jaxpareto.errors import RunError, UsageError

Found = TypeVar("Found", bool, float)

HEARTBEAT = 20
"""Seconds of silence after which a process counts as dead."""

WAIT = 120
"""Seconds that processes wait for each other at the start."""

AUTO = "auto"
GONE = (
    "another process of the run has ended or cannot be reached; the last checkpoint is "
    "kept: start all of them again with --resume"
)
_SIGNS = ("Gloo", "NCCL", "oordination", "eartbeat", "Barrier", "DEADLINE_EXCEEDED")
"""Words in errors of JAX and its parts that mean another process."""


class Meeting(NamedTuple):
    """Where the processes of a run meet, in the words of the command line.

    Attributes:
      processes: how many, as `4`; or `auto`, as JAX finds out from Slurm, Kubernetes,
        Open MPI or a Cloud TPU.
      coordinator: `host:port` of process 0.
      process_id: of this process, from 0.
      wait: seconds to wait for the others.
    """

    processes: str | None = None
    coordinator: str | None = None
    process_id: str | None = None
    wait: str | None = None

    def completed(self) -> "Meeting":
        """Fill in what is not given from `JAXPARETO_PROCESSES` and the like."""
        named = [os.environ.get(f"JAXPARETO_{name.upper()}") for name in self._fields]
        return Meeting(*(x or y for x, y in zip(self, named, strict=True)))


def join(asked: Meeting) -> None:
    """Meet the other processes, before the first computation; one alone does nothing.

    Args:
      asked: where; what it does not say may be in the environment.

    Raises:
      UsageError: a number is missing, no number, or out of its range.
      RunError: the others did not come in time, or the address is taken.
    """
    given = asked.completed()
    if given.processes is None:
        for name in ("coordinator", "process_id"):
            if getattr(asked, name) is not None:
                raise UsageError(f"{_flag(name)} needs --processes: how many there are")
        return
    wait = _number("wait", given.wait or str(WAIT), 1)
    if given.processes == AUTO:
        who, more = "this process", {"coordinator_address": given.coordinator}
    else:
        count = _number("processes", given.processes, 1)
        if count == 1:
            return
        me = _number("process_id", given.process_id, 0)
        if me >= count:
            raise UsageError(
                f"--process-id {me} of {count} processes: they are 0 to {count - 1}"
            )
        who = f"process {me} of {count}"
        more = {
            "coordinator_address": _address(given.coordinator),
            "num_processes": count,
            "process_id": me,
        }
        if me:
            _knock(who, more["coordinator_address"], wait)
    _meet(who, more, wait)


def _number(name: str, text: str | None, least: int) -> int:
    """Read a whole number that the call or the environment gives."""
    number = int(text) if text is not None and text.isdigit() else -1
    if number < least:
        auto = f", or {AUTO}" if name == "processes" else ""
        raise UsageError(
            f"{_flag(name)} must be a whole number from {least} on{auto}; found {text}"
        )
    return number


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _address(text: str | None) -> str:
    host, _, port = (text or "").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--coordinator must be host:port of process 0, found {text}")
    return f"{host}:{port}"


def _knock(who: str, address: str, wait: int) -> None:
    """Wait until process 0 answers: JAX would abort where it does not."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() - began > wait:
                raise RunError(_unmet(who, address, wait, str(error))) from error
            time.sleep(0.2)


def _unmet(who: str, address: str | None, wait: int, why: str) -> str:
    where = f" at {address}" if address else ""
    return (
        f"{who} could not meet the others{where} within {wait} s ({why}); start all of "
        "them with one --coordinator, whose port is free and can be reached"
    )


def _meet(who: str, more: dict[str, Any], wait: int) -> None:
    """Start JAX's service, and say in a line what goes wrong, now or later."""
    address = more["coordinator_address"]
    with _quiet() as stderr:
        # JAX aborts where the others do not come.
        _at_abort(_unmet(who, address, wait, "some did not come"), stderr)
        try:
            jax.distributed.initialize(
                initialization_timeout=wait, heartbeat_timeout_seconds=HEARTBEAT, **more
            )
        except (RuntimeError, ValueError, OSError) as error:
            why = " ".join(str(error).split())[:160]
            raise RunError(_unmet(who, address, wait, why)) from error
    _at_abort(f"{who} stops: {GONE}", 2)


@contextmanager
def _quiet() -> Iterator[int]:
    """Keep what C++ logs from the screen; yields where to write nevertheless."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield kept
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)


def _at_abort(line: str, stderr: int) -> None:
    """Say a line and end with status 1 where JAX aborts this process.

    When process 0 is gone, a thread of JAX aborts its process at once, and offers no
    way to be called instead. The signal of an abort arrives in the thread that raises
    it, so a handler in C may call Python; one of `signal.signal` would never run.
    """

    def end(number: int) -> None:
        del number
        leave(line, 1, stderr)

    _handlers.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(end))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handlers[-1])


_handlers: list[Any] = []
"""Kept as long as C may call them."""


def leave(line: str, status: int, stderr: int = 2) -> NoReturn:
    """Say a line and end at once, without waiting for processes that may be gone."""
    os.write(stderr, f"jaxpareto: error: {line}\n".encode())
    os._exit(status)


def many() -> bool:
    """Say whether this is one of many processes; asking starts no backend."""
    return jax.distributed.is_initialized()


def speaks() -> bool:
    """Say whether this process writes what there is one of: it is alone, or process 0.

    >>> speaks()
    True
    """
    return not many() or jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Wait until all processes have come to this point, by the name of it."""
    if many():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def agree(mine: Found) -> Found:
    """Return what process 0 finds, so that all of them take one way.

    A number arrives in single precision.
    """
    if not many():
        return mine
    from jax.experimental import multihost_utils

    return type(mine)(multihost_utils.broadcast_one_to_all(np.asarray(mine)))


def blames_others(error: BaseException) -> bool:
    """Say whether an error means that another process is gone."""
    return many() and any(sign in str(error) for sign in _SIGNS)
