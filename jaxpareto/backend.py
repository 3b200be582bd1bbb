"""What a program sets before JAX starts. The library itself sets nothing."""

import os
from collections.abc import MutableMapping
from importlib import metadata

_FLAG = "--xla_cpu_use_fusion_emitters"
_DEVICES = "--xla_force_host_platform_device_count"


def compile_quickly(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let XLA write a CPU's programs with its older code generator.

    It compiles in 0.6 of the time, and its training steps are as fast; accelerators do
    not read the flag. Only for the versions of XLA where that was measured: one that
    does not know a flag aborts. A choice already made in `XLA_FLAGS` stays.

    Call it before the first computation; later it is without effect.

    >>> compile_quickly(environ := {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=true"})
    >>> environ
    {'XLA_FLAGS': '--xla_cpu_use_fusion_emitters=true'}
    """
    flags = environ.get("XLA_FLAGS", "")
    if metadata.version("jaxlib").startswith("0.10.") and _FLAG not in flags:
        environ["XLA_FLAGS"] = f"{flags} {_FLAG}=false".strip()


def one_device_per_core(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let a CPU appear as one device for each core, so that small networks share it.

    Each device then trains its own, one after another, in its own cache (see
    `train.members`); accelerators do not read the flag. A choice already made in
    `XLA_FLAGS` stays. It takes the place of `compile_quickly`, whose older code does a
    step of Adam on one small network at a third of the pace.

    Call it before the first computation; later it is without effect.

    >>> one_device_per_core(environ := {"XLA_FLAGS": f"{_DEVICES}=3"})
    >>> environ
    {'XLA_FLAGS': '--xla_force_host_platform_device_count=3'}
    """
    flags = environ.get("XLA_FLAGS", "")
    if _DEVICES not in flags:
        environ["XLA_FLAGS"] = f"{flags} {_DEVICES}={_cores()}".strip()


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
