"""Weights under PyTorch's names -> parameters of `nets/imagenet.py`.

torchvision and timm agree on the names of a ResNet. Kernels turn from [out, in, height,
width] to [height, width, in, out], the classifier from [out, in] to [in, out].
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import RunError
from jaxpareto.nets import imagenet
from jaxpareto.types import Params

_NORM = {
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_SHOWN = 20  # names of a list in an error; a wrong network has hundreds


def from_state_dict(
    state: Mapping[str, Any], name: str, *, dtype: Any = np.float32
) -> Params:
    """Turn the state dict of a ResNet into parameters for `nets.imagenet`.

    Args:
      state: torchvision's names -> arrays, as `read_weights` gives them. How often its
        batch norms were updated (`num_batches_tracked`) is dropped; all else is used.
      name: one of `imagenet.ARCHITECTURES`.
      dtype: of the parameters.

    Returns:
      A pytree of NumPy arrays, as `imagenet.shapes` describes it.

    Raises:
      UsageError: unknown name.
      RunError: names are missing, or unknown, or arrays have the wrong shape or hold
        something else than finite numbers.
    """
    state = {k: v for k, v in state.items() if not k.endswith(".num_batches_tracked")}
    shape = np.shape(state.get("fc.weight", ()))
    shapes = imagenet.shapes(name, classes=shape[0] if len(shape) == 2 else 1000)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(shapes)
    wanted = {_torch_name(path): _torch_shape(leaf.shape) for path, leaf in leaves}
    _compare(state, wanted, name)
    arrays = [np.asarray(state[key]).astype(dtype) for key in wanted]
    bad = [
        key
        for key, array in zip(wanted, arrays, strict=True)
        if not np.isfinite(array).all()
        or (key.endswith("running_var") and array.min() < 0)
    ]
    if bad:
        raise RunError(
            f"weights of {name}: not finite, or variances below zero: {_listed(bad)}"
        )
    return jax.tree.unflatten(treedef, [_from_torch(array) for array in arrays])


def _torch_name(path: tuple[Any, ...]) -> str:
    """Return torchvision's name for a leaf of `imagenet.shapes`."""
    match jax.tree_util.keystr(path, simple=True, separator="/").split("/"):
        case "stem", "kernel":
            return "conv1.weight"
        case "stem", leaf:
            return f"bn1.{_NORM[leaf]}"
        case "head", leaf:
            return "fc.weight" if leaf == "kernel" else "fc.bias"
        case "stages", stage, block, layer, leaf:
            prefix = f"layer{int(stage) + 1}.{block}."
            if layer == "projection":
                place = "0" if leaf == "kernel" else "1"
                return f"{prefix}downsample.{place}.{_NORM.get(leaf, 'weight')}"
            number = int(layer.removeprefix("conv")) + 1
            kind = "conv" if leaf == "kernel" else "bn"
            return f"{prefix}{kind}{number}.{_NORM.get(leaf, 'weight')}"
        case other:
            raise ValueError(f"no name for {other}")


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-3:-1], *shape[:-2])  # [..., in, out] -> [out, in, ...]


def _from_torch(array: np.ndarray) -> np.ndarray:
    """Turn [out, in, ...] to [..., in, out]; vectors stay."""
    axes = (*range(2, array.ndim), *range(array.ndim)[1::-1])
    return np.ascontiguousarray(array.transpose(axes))


def _compare(state: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    """Raise one error that lists all names that are not as they should be."""
    misfits = [
        f"{key} {np.shape(state[key])} instead of {shape}"
        for key, shape in wanted.items()
        if key in state and np.shape(state[key]) != shape
    ]
    odd = [
        f"{key} ({state[key].dtype})"
        for key in wanted
        if key in state and not jnp.issubdtype(state[key].dtype, jnp.floating)
    ]
    complaints = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of the wrong shape": misfits,
        "not of floats": odd,
    }
    said = [f"{what}: {_listed(keys)}" for what, keys in complaints.items() if keys]
    if said:
        raise RunError(f"these are not the weights of a {name}; {'; '.join(said)}")


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
