"""What a program sets before JAX starts. The library itself sets nothing."""

import os
from collections.abc import MutableMapping
from importlib import metadata

_FLAG = "--xla_cpu_use_fusion_emitters"


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
