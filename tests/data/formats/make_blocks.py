"""Blocks of every tensor type, decoded by the Python package `gguf`: the oracle of lutsim-formats.

    pip install gguf==0.19.0 numpy==2.4.6
    python make_blocks.py blocks.bin

For each type, little-endian: id u32, blocks u32, bytes of a block u32, weights of a block u32; all blocks; all values as f32.
The same command gives the same bytes.
"""
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

#        type: where its f16 scales are
TYPES = {T.F16: None, T.BF16: None, T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
         T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0],
         T.TQ1_0: [52], T.TQ2_0: [64], T.MXFP4: []}
# Ordinary, both zeros, the smallest and largest subnormals, the smallest normal, the largest, and their negatives.
SCALES = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x7bff, 0xfbff, 0x3c00, 0xbc00,
                   0x2e66, 0xae66], np.uint16)


def finite_f16(rng, n):
    bits = rng.integers(0, 1 << 16, n, dtype=np.uint16)
    return np.where(bits & 0x7c00 == 0x7c00, bits & 0xbfff, bits).astype(np.uint16)


def blocks_of(rng, kind, scales_at):
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    if scales_at is None:
        bits = rng.integers(0, 1 << 16, 4096, dtype=np.uint16)
        top = 0x7c00 if kind == T.F16 else 0x7f80
        bits = np.where(bits & top == top, bits & 0x3fff, bits).astype(np.uint16)
        return bits.view(np.uint8).reshape(-1, 2)
    n = 32 if weights == 256 else 96
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    b[0], b[1], b[2] = 0x00, 0xff, 0x55
    for i, at in enumerate(scales_at):
        s = finite_f16(rng, n)
        s[:len(SCALES)] = np.roll(SCALES, 5 * i)
        b[:, at:at + 2] = s.view(np.uint8).reshape(n, 2)
    if kind == T.MXFP4:
        # Every exponent's end; 252 and above overflow f32.
        b[:, 0] = np.concatenate([[0, 1, 2, 3, 127, 250, 251], rng.integers(0, 252, n - 7)])
    return b


def main():
    rng = np.random.default_rng(20261121)
    with open(sys.argv[1], "wb") as f:
        for kind, scales_at in TYPES.items():
            weights, size = gguf.GGML_QUANT_SIZES[kind]
            b = blocks_of(rng, kind, scales_at)
            values = gguf.quants.dequantize(b, kind).astype(np.float32)
            assert np.isfinite(values).all(), kind
            np.array([kind, len(b), size, weights], np.uint32).tofile(f)
            b.tofile(f)
            values.tofile(f)


if __name__ == "__main__":
    main()
