"""Take a network away: files that run where this library is not installed.

`save(front, "net.onnx", [0.3, 0.7])` writes the network of one preference, and
`save(front, "net.onnx")` all of them as one network that reads the preference beside
the images. `FORMATS` lists what can be written, by the names of the command line.

Networks of a run read images [b, h, w] in float32, scaled to [0, 1], and answer logits
[b, m, c]; `docs/export.md` has an example of each. Those of `fit_front` read and answer
what yours does, and leave as weights or as a compiled function.
"""

from jaxpareto.export.file import FORMATS, Format, check_target, save
from jaxpareto.export.network import Network, network
from jaxpareto.export.onnx_model import to_onnx
from jaxpareto.export.program import to_program
from jaxpareto.export.weights import to_safetensors

__all__ = [
    "FORMATS",
    "Format",
    "Network",
    "check_target",
    "network",
    "save",
    "to_onnx",
    "to_program",
    "to_safetensors",
]
