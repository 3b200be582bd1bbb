"""How large generated weights should be at the start: three answers, each a `Spec`.

A hypernetwork reads the standard deviations to aim at from its target's `Spec`, so an
initialisation is a function from a `Spec` to a `Spec` with other `scales`:

| name | kernel | bias |
| --- | --- | --- |
| `direct` | as the target's own `init` | zero |
| `hyperfan-in` | `2 / (b fan_in)` | 1 |
| `hyperfan-out` | `2 / fan_out` | `max(0, 2 (1 - fan_in / fan_out))` |

These are variances; `b` is 2 where the layer also has a generated bias, else 1. Source:
Chang, Flokas and Lipson (2020), "Principled weight initialization for hypernetworks",
for rectified layers. From layer to layer the mean square of the outputs (in) or of the
gradients (out) stays the same.
"""

import math
from collections.abc import Callable

from jaxpareto.hyper.trunk import fans, layers_of
from jaxpareto.tree import Spec


def direct_scales(spec: Spec) -> Spec:
    """Return the spec as it is: what the target's own initialisation makes."""
    return spec


def hyperfan_in(spec: Spec) -> Spec:
    """Aim at outputs of one size, shared evenly by kernel and bias.

    >>> names, shapes = ("a/bias", "a/kernel"), ((2,), (8, 2))
    >>> spec = Spec(None, names, shapes, scales=(0.0, 0.5), means=(0.0, 0.0))
    >>> hyperfan_in(spec).scales
    (1.0, 0.3535533905932738)
    """

    def kernel(fan_in: int, fan_out: int, biased: bool) -> float:
        del fan_out
        return 2.0 / ((2 if biased else 1) * fan_in)

    return _rescaled(spec, kernel, lambda *_: 1.0)


def hyperfan_out(spec: Spec) -> Spec:
    """Aim at gradients of one size; biases make up for a layer that widens.

    >>> names, shapes = ("a/bias", "a/kernel"), ((8,), (4, 8))
    >>> spec = Spec(None, names, shapes, scales=(0.0, 0.7), means=(0.0, 0.0))
    >>> hyperfan_out(spec).scales
    (1.0, 0.5)
    """

    def kernel(fan_in: int, fan_out: int, biased: bool) -> float:
        del fan_in, biased
        return 2.0 / fan_out

    def bias(fan_in: int, fan_out: int) -> float:
        return max(0.0, 2.0 * (1.0 - fan_in / fan_out))

    return _rescaled(spec, kernel, bias)


def _rescaled(
    spec: Spec,
    kernel: Callable[[int, int, bool], float],
    bias: Callable[[int, int], float],
) -> Spec:
    """Replace the scales of kernels, and of biases beside one, by root variances."""
    scales = list(spec.scales)
    for leaves in layers_of(spec).values():
        kernels = [i for i in leaves if len(spec.shapes[i]) >= 2]
        biases = [i for i in leaves if spec.paths[i].endswith("bias")]
        for i in kernels:
            around = fans(spec.shapes[i])
            scales[i] = math.sqrt(kernel(*around, bool(biases)))
            for j in biases:
                scales[j] = math.sqrt(bias(*around))
    return spec._replace(scales=tuple(scales))


INITS: dict[str, Callable[[Spec], Spec]] = {
    "direct": direct_scales,
    "hyperfan-in": hyperfan_in,
    "hyperfan-out": hyperfan_out,
}
"""Name -> `f(spec) -> spec` with the scales to aim at."""
