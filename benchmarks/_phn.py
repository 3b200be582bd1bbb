"""The peer: PHN's LeNet and its hypernetwork in PyTorch, as public code trains it.

Written from the paper and from what is known of its code (Navon, Shamsian, Fetaya and
Chechik, 2021): dense heads on an inner vector of 100, 3,243,410 parameters, a Python
loop over preferences, and for EPO a program that cvxpy builds and solves at each step.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

SHAPES = {
    "conv0": (10, 1, 9, 9),
    "conv1": (20, 10, 5, 5),
    "hidden": (50, 500),
    "task0": (10, 50),
    "task1": (10, 50),
}
RATE = 1e-4


class Hyper(torch.nn.Module):
    """Make the LeNet's weights from a preference [2]."""

    def __init__(self) -> None:
        super().__init__()
        widths = (2, 100, 100, 100)
        layers = [torch.nn.Linear(*widths[i : i + 2]) for i in range(3)]
        relu = torch.nn.ReLU()
        self.body = torch.nn.Sequential(layers[0], relu, layers[1], relu, layers[2])
        heads = {}
        for name, shape in SHAPES.items():
            heads[f"{name}_weight"] = torch.nn.Linear(100, int(np.prod(shape)))
            heads[f"{name}_bias"] = torch.nn.Linear(100, shape[0])
        self.heads = torch.nn.ModuleDict(heads)

    def forward(self, ray: torch.Tensor) -> dict[str, tuple[torch.Tensor, ...]]:
        features = self.body(ray)
        made = {name: head(features) for name, head in self.heads.items()}
        return {
            name: (made[f"{name}_weight"].view(shape), made[f"{name}_bias"])
            for name, shape in SHAPES.items()
        }


def lenet(weights: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Answer [b, 10] for both tasks."""
    for name in ("conv0", "conv1"):
        x = F.max_pool2d(F.relu(F.conv2d(x, *weights[name])), 2)
    x = F.linear(x.flatten(1), *weights["hidden"])
    return [F.linear(x, *weights[f"task{i}"]) for i in range(2)]


def losses(
    hyper: Hyper, ray: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return the losses [2] of the network for one preference."""
    answers = lenet(hyper(ray), x)
    return torch.stack([F.cross_entropy(answers[i], y[:, i]) for i in range(2)])


class Training:
    """Steps of training, on noise.

    Attributes:
      size: parameters of the hypernetwork.
    """

    def __init__(self, k: int, steps: int, batch: int, *, split: bool = False) -> None:
        torch.manual_seed(0)
        self.k, self.split = k, split
        self.hyper = Hyper()
        self.adam = torch.optim.Adam(self.hyper.parameters(), RATE)
        self.size = sum(p.numel() for p in self.hyper.parameters())
        self.images = torch.rand(steps, batch, 1, 36, 36)
        self.labels = torch.randint(0, 10, (steps, batch, 2))
        self.simplex = torch.distributions.Dirichlet(torch.ones(2))

    def _batches(self) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
        for x, y in zip(self.images, self.labels, strict=True):
            if self.split:
                yield list(zip(x.chunk(self.k), y.chunk(self.k), strict=True))
            else:
                yield [(x, y)] * self.k

    def linear(self, losses: Callable[..., torch.Tensor] = losses) -> None:
        """Train by linear scalarisation; `losses` may be a compiled one."""
        for parts in self._batches():
            self.adam.zero_grad()
            total = torch.zeros(())
            for x, y in parts:
                ray = self.simplex.sample()
                total = total + ray @ losses(self.hyper, ray, x, y) / self.k
            total.backward()
            self.adam.step()

    def epo(self) -> None:
        """Train by exact Pareto optimality: its weights from cvxpy, one preference."""
        parameters = list(self.hyper.parameters())
        for ((x, y),) in self._batches():
            self.adam.zero_grad()
            ray = self.simplex.sample()
            found = losses(self.hyper, ray, x, y)
            rows = torch.stack(
                [
                    torch.cat([g.flatten() for g in slopes])
                    for slopes in (
                        torch.autograd.grad(each, parameters, retain_graph=True)
                        for each in found
                    )
                ]
            )
            gram = (rows @ rows.T).numpy().astype(float)
            weights = epo_weights(
                found.detach().numpy().astype(float), gram, ray.numpy().astype(float)
            )
            (torch.tensor(weights, dtype=torch.float32) @ found).backward()
            self.adam.step()


def epo_weights(losses: np.ndarray, gram: np.ndarray, pref: np.ndarray) -> np.ndarray:
    """Solve EPO's linear program by cvxpy, built anew as the public code does."""
    import cvxpy

    m = len(losses)
    shares = pref * losses / np.sum(pref * losses)
    mu = np.sum(shares * np.log(m * shares + 1e-12))
    anchor = pref * (np.log(m * shares + 1e-12) - mu)
    gain = gram @ anchor
    alpha = cvxpy.Variable(m)
    on_simplex = [alpha >= 0, cvxpy.sum(alpha) == 1]
    if mu > 1e-4:
        bounds = np.where(gain > 0, -1e9, gain) if np.any(gain > 0) else np.zeros(m)
        bounds[np.argmax(pref * losses)] = 0.0
        goal, rows = gain @ alpha, gram @ alpha >= bounds
        program = cvxpy.Problem(cvxpy.Maximize(goal), [*on_simplex, rows])
    else:
        keep = gain @ alpha >= min(float(np.max(gain)), 0.0)
        goal = cvxpy.sum(gram @ alpha)
        program = cvxpy.Problem(
            cvxpy.Maximize(goal), [*on_simplex, keep, gram @ alpha >= 0]
        )
    try:
        program.solve(solver=cvxpy.HIGHS)
    except cvxpy.error.SolverError:
        return m * pref
    return m * pref if alpha.value is None else m * alpha.value


def evaluate(rays: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Measure the networks of rays [k, 2] on a test set, one after another.

    Args:
      rays: preferences.
      images: [n, 36, 36] in [0, 1].
      labels: [n, 2].

    Returns:
      Losses [k, 2].
    """
    torch.manual_seed(0)
    hyper = Hyper()
    x, y = torch.from_numpy(images[:, None]), torch.from_numpy(labels)
    found = []
    with torch.no_grad():
        for ray in torch.from_numpy(rays):
            total = torch.zeros(2)
            for some, truth in zip(x.split(256), y.split(256), strict=True):
                weights = hyper(ray)
                answers = lenet(weights, some)
                each = [F.cross_entropy(answers[i], truth[:, i]) for i in range(2)]
                total += torch.stack(each) * len(some)
            found.append((total / len(x)).numpy())
    return np.stack(found)


def compiled() -> Callable[..., torch.Tensor] | None:
    """Compile `losses`; None where there is no C++ compiler for it to use."""
    made = torch.compile(losses)
    hyper, ray = Hyper(), torch.tensor([0.5, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made(hyper, ray, torch.rand(256, 1, 36, 36), torch.zeros(256, 2).long())
        except RuntimeError as error:
            print(f"torch.compile: left out ({str(error).splitlines()[0]})")
            return None
    return made
