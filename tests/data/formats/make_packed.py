"""Quantised layers as GPTQ, AWQ and BitNet checkpoints pack them, and their values: the oracle of lutsim-formats.

    pip install safetensors==0.8.0 ml_dtypes==0.6.0 numpy==2.4.6
    python make_packed.py packed.safetensors

Packing rules: AutoGPTQ's `QuantLinear.pack` (zero points less 1), AutoAWQ's `WQLinear_GEMM.from_linear` (order 0 2 4 6 1 3 5 7),
`pack_weights` of transformers' BitNet integration. `NAME.expected` is what a layer's weights are, [outputs, inputs], f32.
The same command gives the same bytes.
"""
import sys

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

RNG = np.random.default_rng(20261121)


def words(codes, bits, order=None):
    """Packs the last axis: the code of neighbour `order[p]` goes to place p of its word."""
    n = 32 // bits
    order = list(range(n)) if order is None else order
    c = codes.astype(np.uint32).reshape(*codes.shape[:-1], -1, n)
    out = np.zeros(c.shape[:-1], np.uint32)
    for place, neighbour in enumerate(order):
        out |= c[..., neighbour] << np.uint32(bits * place)
    return out.view(np.int32)


def gptq(bits, rows, cols, group, act_order, zero_less):
    size = cols if group is None else group
    groups = -(-cols // size)
    index = np.arange(cols) // size
    if act_order:
        index = RNG.permutation(index)
    codes = RNG.integers(0, 1 << bits, (rows, cols))
    zeros = RNG.integers(zero_less, (1 << bits) - 1, (groups, rows))
    scales = (RNG.uniform(0.001, 0.1, (groups, rows))).astype(np.float16)
    zeros[0, :2], codes[:, 0] = [zero_less, (1 << bits) - 1 + zero_less], (1 << bits) - 1
    values = (codes.T - zeros[index]).astype(np.float32) * scales[index].astype(np.float32)
    return dict(qweight=words(codes, bits).T, qzeros=words(zeros - zero_less, bits), scales=scales,
                g_idx=index.astype(np.int32), expected=values.T)


def awq(rows, cols, group):
    groups = cols // group
    index = np.arange(cols) // group
    codes = RNG.integers(0, 16, (cols, rows))
    zeros = RNG.integers(0, 16, (groups, rows))
    scales = RNG.uniform(0.001, 0.1, (groups, rows)).astype(np.float16)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    values = (codes - zeros[index]).astype(np.float32) * scales[index].astype(np.float32)
    return dict(qweight=words(codes, 4, order), qzeros=words(zeros, 4, order), scales=scales, expected=values.T)


def bitnet(rows, cols, divide):
    w = RNG.integers(-1, 2, (rows, cols))
    quarter = rows // 4
    packed = sum((w[i * quarter:(i + 1) * quarter] + 1).astype(np.uint8) << np.uint8(2 * i) for i in range(4))
    scale = np.array([1.71], ml_dtypes.bfloat16)
    s = scale.astype(np.float32)
    # No -0: 0 times anything positive.
    values = w.astype(np.float32) / s if divide else w.astype(np.float32) * s
    return dict(weight=packed.astype(np.uint8), weight_scale=scale, expected=values)


def main():
    layers = {
        "gptq4": gptq(4, 16, 64, 32, False, 1), "gptq4_act": gptq(4, 16, 64, 16, True, 1),
        "gptq4_all": gptq(4, 8, 24, None, False, 1), "gptq4_v2": gptq(4, 16, 64, 32, False, 0),
        "gptq2": gptq(2, 16, 64, 32, False, 1), "gptq8": gptq(8, 8, 40, 16, False, 1),
        "awq": awq(16, 64, 32), "bitnet": bitnet(12, 20, False), "bitnet_div": bitnet(12, 20, True),
    }
    tensors = {f"{layer}.{part}": np.ascontiguousarray(x.astype(np.float32) if part == "expected" else x)
               for layer, parts in layers.items() for part, x in parts.items()}
    tensors["plain.f32"] = RNG.standard_normal((3, 5)).astype(np.float32)
    tensors["plain.f16"] = tensors["plain.f32"].astype(np.float16)
    tensors["plain.bf16"] = tensors["plain.f32"].astype(ml_dtypes.bfloat16)
    tensors["plain.f16.expected"] = tensors["plain.f16"].astype(np.float32)
    tensors["plain.bf16.expected"] = tensors["plain.bf16"].astype(np.float32)
    save_file(tensors, sys.argv[1], metadata={"format": "np"})


if __name__ == "__main__":
    main()
