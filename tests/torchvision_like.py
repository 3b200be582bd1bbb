"""ResNets as torchvision has them: names, shapes, random weights, and a plain PyTorch.

Written from its definition, apart from ours; no test of its own.
"""

import numpy as np

# Blocks of each stage, whether they are bottlenecks, parameters as torchvision says.
NETWORKS = {
    "resnet18": ((2, 2, 2, 2), False, 11_689_512),
    "resnet34": ((3, 4, 6, 3), False, 21_797_672),
    "resnet50": ((3, 4, 6, 3), True, 25_557_032),
    "resnet101": ((3, 4, 23, 3), True, 44_549_160),
}


def _norm(name, width):
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (width,) for leaf in leaves} | {
        f"{name}.num_batches_tracked": ()
    }


def shapes(name, classes=1000):
    """Return the state dict's names and shapes."""
    counts, bottleneck, _ = NETWORKS[name]
    found = {"conv1.weight": (64, 3, 7, 7)} | _norm("bn1", 64)
    before = 64
    for stage, count in enumerate(counts, start=1):
        width = 32 * 2**stage
        after = 4 * width if bottleneck else width
        for j in range(count):
            at = f"layer{stage}.{j}"
            if bottleneck:
                found[f"{at}.conv1.weight"] = (width, before, 1, 1)
                found[f"{at}.conv2.weight"] = (width, width, 3, 3)
                found[f"{at}.conv3.weight"] = (after, width, 1, 1)
                found |= _norm(f"{at}.bn1", width) | _norm(f"{at}.bn2", width)
                found |= _norm(f"{at}.bn3", after)
            else:
                found[f"{at}.conv1.weight"] = (width, before, 3, 3)
                found[f"{at}.conv2.weight"] = (width, width, 3, 3)
                found |= _norm(f"{at}.bn1", width) | _norm(f"{at}.bn2", width)
            if j == 0 and before != after:
                found[f"{at}.downsample.0.weight"] = (after, before, 1, 1)
                found |= _norm(f"{at}.downsample.1", after)
            before = after
    return found | {"fc.weight": (classes, before), "fc.bias": (classes,)}


def drawn(name, classes=1000):
    """Draw a state dict [float32] in which no number is what an untrained one has.

    The last norm of each block is small, so that what comes out of 33 blocks is still
    of order one.
    """
    generator = np.random.default_rng(0)
    last = "bn3.weight" if NETWORKS[name][1] else "bn2.weight"

    def draw(key, shape):
        if key.endswith("num_batches_tracked"):
            return np.int64(7)
        noise = generator.standard_normal(shape, np.float32)
        if len(shape) > 1:
            return noise * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        if key.endswith("running_var"):
            return generator.uniform(0.5, 2, shape).astype(np.float32)
        size = 0.3 if key.endswith(last) else 1.0
        centre = size if key.endswith("weight") else 0.0
        return (centre + 0.1 * size * noise).astype(np.float32)

    return {key: np.asarray(draw(key, s)) for key, s in shapes(name, classes).items()}


def build(torch, name, classes=1000):
    """Make the network in PyTorch: a module that returns stem, stages, mean, logits."""
    nn, relu = torch.nn, torch.nn.functional.relu
    counts, bottleneck, _ = NETWORKS[name]

    def shortcut(before, after, stride):
        if before == after and stride == 1:
            return nn.Identity()
        conv = nn.Conv2d(before, after, 1, stride=stride, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(after))

    class Basic(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.downsample = shortcut(before, width, stride)

        def forward(self, x):
            y = relu(self.bn1(self.conv1(x)))
            return relu(self.bn2(self.conv2(y)) + self.downsample(x))

    class Bottleneck(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(4 * width)
            self.downsample = shortcut(before, 4 * width, stride)

        def forward(self, x):
            y = relu(self.bn1(self.conv1(x)))
            y = relu(self.bn2(self.conv2(y)))
            return relu(self.bn3(self.conv3(y)) + self.downsample(x))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
            before = 64
            for stage, count in enumerate(counts, start=1):
                width, made = 32 * 2**stage, []
                for j in range(count):
                    stride = 2 if stage > 1 and j == 0 else 1
                    block = Bottleneck if bottleneck else Basic
                    made.append(block(before, width, stride))
                    before = 4 * width if bottleneck else width
                self.add_module(f"layer{stage}", nn.Sequential(*made))
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(before, classes)

        def forward(self, x):
            outputs = [self.maxpool(relu(self.bn1(self.conv1(x))))]
            for stage in range(1, 5):
                outputs.append(getattr(self, f"layer{stage}")(outputs[-1]))
            features = self.avgpool(outputs[-1]).flatten(1)
            return outputs, features, self.fc(features)

    return ResNet().eval()


def answers(name, state, images, classes=1000):
    """Return stages, features and logits of PyTorch in float64, as NumPy, NHWC."""
    import pytest

    torch = pytest.importorskip("torch", reason="an oracle: needs PyTorch")
    network = build(torch, name, classes)
    tensors = {key: torch.tensor(array) for key, array in state.items()}
    network.load_state_dict(tensors)  # strict: it has these names and no other
    with torch.no_grad():
        pixels = torch.tensor(images).permute(0, 3, 1, 2).double()
        outputs, features, logits = network.double()(pixels)
    return (
        [each.permute(0, 2, 3, 1).numpy() for each in outputs],
        features.numpy(),
        logits.numpy(),
    )
