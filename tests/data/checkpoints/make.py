"""Hugging Face checkpoints of random weights, and llama.cpp's logits of a prompt: tests/data/checkpoints.

pip install numpy==2.4.6 gguf==0.19.0 llama-cpp-python==0.3.36; python make.py ../models/tiny-llama-q8_0.gguf OUT
The same weights, dequantised, go to a GGUF file of F32 that llama.cpp reads. Packing rules as in ../formats/make_packed.py.
"""
import json
import os
import struct
import sys

import numpy as np
from gguf import GGUFWriter

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../architectures"))
from make import CONTEXT, logits, tokens  # noqa: E402

HIDDEN, FFN, LAYERS, HEADS, KV, DIM, GROUP = 64, 96, 2, 4, 2, 16, 32
DTYPES = {"float16": "F16", "float32": "F32", "int32": "I32", "uint8": "U8", "uint16": "BF16"}


def save(path, tensors):
    """The safetensors format; numbers of uint16 are BF16's bits."""
    header, data = {}, b""
    for name, x in sorted(tensors.items()):
        bytes_ = np.ascontiguousarray(x).tobytes()
        span = [len(data), len(data) + len(bytes_)]
        header[name] = {"dtype": DTYPES[x.dtype.name], "shape": list(x.shape), "data_offsets": span}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def words(codes, order=range(8)):
    """Packs the last axis: the code of neighbour `order[p]` goes to place p of its word."""
    c = codes.astype(np.uint32).reshape(*codes.shape[:-1], -1, 8)
    out = np.zeros(c.shape[:-1], np.uint32)
    for place, neighbour in enumerate(order):
        out |= c[..., neighbour] << np.uint32(4 * place)
    return out.view(np.int32)


def four_bits(w):
    """Codes [outputs, inputs], zero points and FP16 scales [groups, outputs], and the values they stand for."""
    g = w.reshape(len(w), -1, GROUP)
    low, high = np.minimum(g.min(2), 0), np.maximum(g.max(2), 0)
    scales = ((high - low) / 15).astype(np.float16)
    s = scales.astype(np.float32)
    zeros = np.clip(np.round(-low / s), 1, 15)
    codes = np.clip(np.round(g / s[..., None]) + zeros[..., None], 0, 15)
    values = (codes - zeros[..., None]).astype(np.float32) * s[..., None]
    return codes.reshape(w.shape).astype(int), zeros.T.astype(int), scales.T, values.reshape(w.shape)


def gptq(w):
    codes, zeros, scales, values = four_bits(w)
    index = (np.arange(w.shape[1]) // GROUP).astype(np.int32)
    return dict(qweight=words(codes).T, qzeros=words(zeros - 1), scales=scales, g_idx=index), values


def awq(w):
    codes, zeros, scales, values = four_bits(w)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    return dict(qweight=words(codes.T, order), qzeros=words(zeros, order), scales=scales), values


def bf16(w):
    bits = (w.view(np.uint32) + 0x8000 >> 16).astype(np.uint16)
    return dict(weight=bits), (bits.astype(np.uint32) << 16).view(np.float32)


def model(name, pack, quantization, shards, vocabulary, out, seed):
    rng = np.random.default_rng(seed)
    words_, merges, types = vocabulary
    folder = f"{out}/{name}"
    os.makedirs(folder, exist_ok=True)
    config = dict(model_type="qwen2", hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
                  num_attention_heads=HEADS, num_key_value_heads=KV, vocab_size=len(words_), hidden_act="silu",
                  max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False)
    if quantization:
        config["quantization_config"] = quantization
    json.dump(config, open(f"{folder}/config.json", "w"), indent=1)
    w = GGUFWriter(f"{folder}/whole.f32", "qwen2")
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(DIM)
    w.add_rope_freq_base(10000.0)
    w.add_vocab_size(len(words_))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(words_)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)
    files = [{} for _ in range(shards)]

    def add(file, theirs, ours, x):
        files[file % shards][theirs] = x
        w.add_tensor(ours, x.astype(np.float32))

    def matrix(file, theirs, ours, n, k, gain, plain=False):
        x = (rng.standard_normal((n, k)) * gain / np.sqrt(k)).astype(np.float32)
        if plain:
            return add(file, f"{theirs}.weight", ours, x.astype(np.float16))
        parts, values = pack(x)
        for part, bits in parts.items():
            files[file % shards][f"{theirs}.{part}"] = bits
        w.add_tensor(ours, values)

    def vector(file, theirs, ours, n, mean):
        add(file, theirs, ours, (mean + 0.1 * rng.standard_normal(n)).astype(np.float16))

    matrix(0, "model.embed_tokens", "token_embd.weight", len(words_), HIDDEN, np.sqrt(HIDDEN), plain=True)
    vector(0, "model.norm.weight", "output_norm.weight", HIDDEN, 1)
    matrix(1, "lm_head", "output.weight", len(words_), HIDDEN, 3.0, plain=True)
    q, kv = HEADS * DIM, KV * DIM
    for i in range(LAYERS):
        l, b = f"model.layers.{i}.", f"blk.{i}."
        vector(i, l + "input_layernorm.weight", b + "attn_norm.weight", HIDDEN, 1)
        for theirs, ours, n in (("q", "q", q), ("k", "k", kv), ("v", "v", kv)):
            matrix(i, f"{l}self_attn.{theirs}_proj", f"{b}attn_{ours}.weight", n, HIDDEN, 1.5)
            vector(i, f"{l}self_attn.{theirs}_proj.bias", f"{b}attn_{ours}.bias", n, 0)
        matrix(i, l + "self_attn.o_proj", b + "attn_output.weight", HIDDEN, q, 0.7)
        vector(i, l + "post_attention_layernorm.weight", b + "ffn_norm.weight", HIDDEN, 1)
        matrix(i, l + "mlp.gate_proj", b + "ffn_gate.weight", FFN, HIDDEN, 1.0)
        matrix(i, l + "mlp.up_proj", b + "ffn_up.weight", FFN, HIDDEN, 1.0)
        matrix(i, l + "mlp.down_proj", b + "ffn_down.weight", HIDDEN, FFN, 0.7)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    if shards == 1:
        save(f"{folder}/model.safetensors", files[0])
    else:
        index = {}
        for i, tensors in enumerate(files):
            file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            save(f"{folder}/{file}", tensors)
            index.update({tensor: file for tensor in tensors})
        json.dump({"metadata": {}, "weight_map": index}, open(f"{folder}/model.safetensors.index.json", "w"), indent=1)
    np.save(f"{folder}/logits.npy", logits(f"{folder}/whole.f32"))
    os.remove(f"{folder}/whole.f32")
    print(name)


def bitnet(out, seed):
    """Packed ternary layers, K = 128 and 96; values only."""
    rng = np.random.default_rng(seed)
    folder, hidden = f"{out}/bitnet", 128
    os.makedirs(folder, exist_ok=True)
    config = dict(model_type="bitnet", hidden_size=hidden, intermediate_size=FFN, num_hidden_layers=1,
                  num_attention_heads=4, num_key_value_heads=2, vocab_size=40, hidden_act="relu2",
                  max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
                  quantization_config=dict(quant_method="bitnet", linear_class="autobitlinear", quantization_mode="offline"))
    json.dump(config, open(f"{folder}/config.json", "w"), indent=1)
    tensors = {"model.embed_tokens.weight": rng.standard_normal((40, hidden)).astype(np.float16)}
    norm = lambda n: (1 + 0.1 * rng.standard_normal(n)).astype(np.float16)
    tensors["model.norm.weight"] = norm(hidden)
    l = "model.layers.0."
    for name, n in (("input_layernorm", hidden), ("self_attn.attn_sub_norm", hidden), ("mlp.ffn_sub_norm", FFN),
                    ("post_attention_layernorm", hidden)):
        tensors[f"{l}{name}.weight"] = norm(n)
    for name, n, k in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", 64, hidden), ("self_attn.v_proj", 64, hidden),
                       ("self_attn.o_proj", hidden, hidden), ("mlp.gate_proj", FFN, hidden), ("mlp.up_proj", FFN, hidden),
                       ("mlp.down_proj", hidden, FFN)):
        codes, quarter = rng.integers(0, 3, (n, k)), n // 4
        packed = sum(codes[i * quarter:(i + 1) * quarter].astype(np.uint8) << np.uint8(2 * i) for i in range(4))
        tensors[f"{l}{name}.weight"] = packed.astype(np.uint8)
        # BF16 has few bits: FP16 holds most scales, and this one.
        tensors[f"{l}{name}.weight_scale"] = np.array([0x3daf], np.uint16)
    save(f"{folder}/model.safetensors", tensors)


if __name__ == "__main__":
    source, out = sys.argv[1:3]
    vocabulary = tokens(source)
    four = dict(bits=4, group_size=GROUP)
    model("gptq", gptq, dict(quant_method="gptq", desc_act=False, **four), 1, vocabulary, out, 1)
    model("awq", awq, dict(quant_method="awq", version="gemm", zero_point=True, **four), 1, vocabulary, out, 2)
    model("bf16", bf16, None, 2, vocabulary, out, 3)
    bitnet(out, 4)
