"""Which form of convolution is fastest where kernels are mapped over?

    python benchmarks/convolution.py                       # ten minutes on 2 cores
    python benchmarks/convolution.py --layers "lenet0;cnn1" --kernels 1

Forward, and the gradient in the kernel and in the images, inside a scan as training has
them, for the layers of the library's networks and n kernels at once:

| form | what it is |
| --- | --- |
| banded w | one product of image rows with a band, blocks about w wide |
| shifted | a product for each place in the kernel, or one of all of them |
| native | XLA's convolution: with n kernels a grouped one |

`nets/convolution.py` chooses by this table: `choose_form`, and `_MIN_COLUMNS`. The
forms take turns in every round. A kernel sees `--images` images, as many as go through
a network at once (`train.microbatch`).
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _turns import take_turns

from jaxpareto.nets import convolution
from jaxpareto.nets.convolution import conv2d
from jaxpareto.types import Array


class Layer(NamedTuple):
    """Side and channels of the images, kernel, stride, padding, pool after it."""

    side: int
    channels: int
    kernel: int
    filters: int
    stride: int = 1
    padding: int = 0
    pool: int = 2


LAYERS = {
    "lenet0": Layer(36, 1, 9, 10),
    "lenet1": Layer(14, 10, 5, 20),
    "cnn1": Layer(17, 16, 3, 32),
    "cnn2": Layer(7, 32, 3, 64, pool=1),
    "resnet": Layer(9, 64, 3, 64, padding=1, pool=1),
    "resnet, stride 2": Layer(9, 64, 3, 128, stride=2, padding=1, pool=1),
}
WIDTHS = (20, 40, 64, 128)


def contender(
    layer: Layer, kernels: int, images: int, steps: int, form: str, width: int | None
) -> Callable[[], None]:
    """Compile `steps` gradients of a layer."""
    draw = np.random.default_rng(0)
    size = (layer.kernel, layer.kernel, layer.channels, layer.filters)
    kernel = jnp.asarray(draw.normal(size=(kernels, *size)), jnp.float32)
    shape = (kernels, images, layer.side, layer.side, layer.channels)
    x = jnp.asarray(draw.normal(size=shape), jnp.float32)
    settings = {name: getattr(layer, name) for name in ("stride", "padding", "pool")}
    apply = partial(conv2d, form=form, **settings)

    def loss(kernel: Array, x: Array) -> Array:
        return jnp.sum(jnp.square(jax.vmap(apply)(x, kernel)))

    def go(kernel: Array, x: Array) -> tuple[Array, Array]:
        def body(at: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            slopes = jax.grad(loss, (0, 1))(*at)
            return jax.tree.map(lambda a, g: a - 1e-9 * g, at, slopes), None

        return jax.lax.scan(body, (kernel, x), None, length=steps)[0]

    chosen = convolution._MIN_COLUMNS
    convolution._MIN_COLUMNS = width or chosen
    run = jax.jit(go).lower(kernel, x).compile()
    convolution._MIN_COLUMNS = chosen
    return lambda: jax.block_until_ready(run(kernel, x))


def forms(layer: Layer) -> dict[str, tuple[str, int | None]]:
    """Name the forms that a layer can have."""
    others: dict[str, tuple[str, int | None]] = {
        name: (name, None) for name in ("shifted", "native")
    }
    if layer.stride > 1:
        return others
    return {f"banded {width}": ("banded", width) for width in WIDTHS} | others


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", default=";".join(LAYERS), help="as lenet0;cnn1")
    parser.add_argument("--kernels", default="1,4,16")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="in a turn")
    asked = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    print(f"ms for {asked.images} images of each kernel, forward and backward\n")
    names = [*(f"banded {width}" for width in WIDTHS), "shifted", "native"]
    print(f"| layer | kernels | {' | '.join(names)} | chosen |")
    print("| --- |" + " --- |" * (len(names) + 2))
    for layer_name in asked.layers.split(";"):
        layer = LAYERS[layer_name]
        form = convolution.choose_form(stride=layer.stride, padding=layer.padding)
        chosen = form + f" {convolution._MIN_COLUMNS}" * (form == "banded")
        for kernels in map(int, asked.kernels.split(",")):
            going = {
                name: contender(layer, kernels, asked.images, asked.steps, *which)
                for name, which in forms(layer).items()
            }
            spent = take_turns(going, asked.steps, asked.rounds)
            cells = [
                f"{np.median(spent[name]):.2f}" if name in spent else ""
                for name in names
            ]
            print(
                f"| {layer_name} | {kernels} | {' | '.join(cells)} | {chosen} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
