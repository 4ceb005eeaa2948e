"""Networks: tensors to tensors, no probability."""

from vaelab.nets.conv import ConvDecoder, ConvEncoder, plain, residual
from vaelab.nets.mlp import MLPDecoder, MLPEncoder, MLPPyramid, perceptron
from vaelab.nets.shapes import Shape

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "MLPPyramid",
    "Shape",
    "perceptron",
    "plain",
    "residual",
]
