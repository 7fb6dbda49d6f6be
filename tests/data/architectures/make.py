"""Models of random weights, one per architecture, and the logits of a prompt by llama.cpp, or by NumPy for what that has not got:
tests/data/architectures.

pip install numpy==2.4.6 gguf==0.19.0 llama-cpp-python==0.3.36; python make.py SOURCE.gguf OUT [NAME ...]
SOURCE.gguf lends its tokeniser (tests/data/models/tiny-llama-q8_0.gguf). Same versions, same bytes of the models; logits may differ
in the last digits with the CPU.
"""
import os
import sys

import numpy as np
from gguf import GGUFReader, GGUFWriter, GGMLQuantizationType as Q, quants

HIDDEN, FFN, LAYERS, HEADS, KV, DIM, CONTEXT, VOCAB = 64, 160, 2, 4, 2, 16, 64, 300
PROMPT = [41, 78, 259, 266, 78, 291, 287, 12, 268, 33, 120, 299, 17, 280, 64, 271, 205, 98, 262, 285, 44, 150, 276, 293]
LAYER = ("gpt2", "bloom", "opt")  # LayerNorm, biases, no gate
TIED = ("gemma", "gemma2", "opt")


def tokens(source):
    field = lambda name: GGUFReader(source).get_field(name)
    text = lambda f: [bytes(f.parts[i]).decode() for i in f.data]
    words = text(field("tokenizer.ggml.tokens"))[:VOCAB]
    merges = [m for m in text(field("tokenizer.ggml.merges")) if m.replace(" ", "") in words]
    types = field("tokenizer.ggml.token_type")
    return words, merges, [int(types.parts[i][0]) for i in types.data][:VOCAB]


def make(arch, kind, out, vocabulary, seed, **options):
    """Writes a model; returns its tensors as they are read back."""
    get = options.get
    rng = np.random.default_rng(seed)
    words, merges, types = vocabulary
    kv, ffn, dim, experts = get("kv", KV), get("ffn", FFN), get("dim", DIM), get("experts")
    hidden, layers = get("hidden", HIDDEN), get("layers", LAYERS)
    w = GGUFWriter(out, arch)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(hidden)
    w.add_block_count(layers)
    w.add_feed_forward_length(ffn)
    w.add_head_count(HEADS)
    w.add_head_count_kv(kv)
    layer = arch in LAYER
    (w.add_layer_norm_eps if layer else w.add_layer_norm_rms_eps)(1e-5)
    if not layer:
        w.add_rope_dimension_count(get("rotated", dim))
        w.add_rope_freq_base(10000.0)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(2)
    for key, value in get("strings", {}).items():
        w.add_string(f"{arch}.{key}", value)
    for key, value in get("floats", {}).items():
        w.add_float32(f"{arch}.{key}", value)
    for key, value in get("integers", {}).items():
        w.add_uint32(f"{arch}.{key}", value)
    w.add_vocab_size(len(words))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(words)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)
    read = {}

    def matrix(name, *shape, gain=1.0, kind=kind):
        x = (rng.standard_normal(shape) * gain / np.sqrt(shape[-1])).astype(np.float32)
        if kind == Q.F32:
            read[name] = x
            w.add_tensor(name, x)
        elif kind == Q.F16:
            read[name] = x.astype(np.float16).astype(np.float32)
            w.add_tensor(name, x.astype(np.float16))
        else:
            blocks = quants.quantize(x, kind)
            read[name] = quants.dequantize(blocks, kind)
            w.add_tensor(name, blocks, raw_dtype=kind)

    def floats(name, x):
        read[name] = x.astype(np.float32)
        w.add_tensor(name, read[name])

    def norm(name, n):
        floats(name + ".weight", 1 + 0.1 * rng.standard_normal(n))
        if layer:
            bias(name, n)

    def bias(name, n):
        floats(name + ".bias", 0.1 * rng.standard_normal(n))

    # Gemma multiplies what it reads by the root of the width.
    tied = arch in TIED
    matrix("token_embd.weight", len(words), hidden, gain=2.0 if tied else np.sqrt(hidden), kind=Q.F16)
    if arch in ("gpt2", "opt"):
        matrix("position_embd.weight", CONTEXT + (2 if arch == "opt" else 0), hidden, gain=0.3 * np.sqrt(hidden), kind=Q.F32)
    if arch == "bloom":
        norm("token_embd_norm", hidden)
    for name, divisors in get("divisors", {}).items():
        floats(name + ".weight", np.array(divisors))
    norm("output_norm", hidden)
    if not tied:
        matrix("output.weight", len(words), hidden, gain=3.0)
    q, k = HEADS * dim, kv * dim
    for i in range(layers):
        b = f"blk.{i}."
        norm(b + "attn_norm", hidden)
        if arch in ("phi3", "gpt2", "bloom"):
            matrix(b + "attn_qkv.weight", q + 2 * k, hidden, gain=1.5)
            if layer:
                bias(b + "attn_qkv", q + 2 * k)
        else:
            for name, n in (("attn_q", q), ("attn_k", k), ("attn_v", k)):
                matrix(b + name + ".weight", n, hidden, gain=1.5)
                if arch in ("qwen2", "opt"):
                    bias(b + name, n)
        if arch == "bitnet-b1.58":
            norm(b + "attn_sub_norm", q)
        matrix(b + "attn_output.weight", hidden, q, gain=0.7)
        if layer:
            bias(b + "attn_output", hidden)
        if arch == "gemma2":
            norm(b + "post_attention_norm", hidden)
        norm(b + "ffn_norm", hidden)
        if experts:
            matrix(b + "ffn_gate_inp.weight", experts, hidden, gain=4.0, kind=Q.F32)
            for name, n, m, gain in (("gate", ffn, hidden, 1.0), ("up", ffn, hidden, 1.0), ("down", hidden, ffn, 0.7)):
                matrix(b + f"ffn_{name}_exps.weight", experts, n, m, gain=gain)
            continue
        if arch == "phi3":
            matrix(b + "ffn_up.weight", 2 * ffn, hidden)
        elif layer:
            matrix(b + "ffn_up.weight", ffn, hidden)
            bias(b + "ffn_up", ffn)
        else:
            matrix(b + "ffn_gate.weight", ffn, hidden)
            matrix(b + "ffn_up.weight", ffn, hidden)
        if arch == "bitnet-b1.58":
            norm(b + "ffn_sub_norm", ffn)
        matrix(b + "ffn_down.weight", hidden, ffn, gain=0.7)
        if layer:
            bias(b + "ffn_down", hidden)
        if arch == "gemma2":
            norm(b + "post_ffw_norm", hidden)
    if dim != hidden // HEADS:
        w.add_key_length(dim)
        w.add_value_length(dim)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return read


def mixed(source, out, ftype):
    """llama.cpp's own mixture of types for a file."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 1
    assert llama_cpp.llama_model_quantize(source.encode(), out.encode(), params) == 0


def llama_cpp(path, arch, read):
    from llama_cpp import Llama

    model = Llama(path, n_ctx=CONTEXT, n_batch=CONTEXT, n_threads=1, logits_all=True, verbose=False)
    model.eval(PROMPT)
    return np.array(model.scores[: len(PROMPT)], dtype=np.float32)


def numpy(path, arch, read):
    """OPT as in transformers' modeling_opt.py; BitNet b1.58 as in its modeling_bitnet.py."""
    get = lambda name: read[name].astype(np.float64)
    add = lambda name: get(name) if name in read else 0.0
    linear = lambda x, name: x @ get(name + ".weight").T + add(name + ".bias")

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True) if arch == "opt" else x
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * get(name + ".weight") + add(name + ".bias")

    def rotate(x):
        if arch == "opt":
            return x
        half = x.shape[-1] // 2
        angle = np.arange(len(PROMPT))[:, None] / 10000.0 ** (np.arange(half) / half)
        c, s, a, b = np.cos(angle), np.sin(angle), x[..., :half], x[..., half:]
        return np.concatenate([a * c - b * s, b * c + a * s], -1)

    x = get("token_embd.weight")[PROMPT]
    if arch == "opt":
        x = x + get("position_embd.weight")[np.arange(len(PROMPT)) + 2]
    heads = lambda y: y.reshape(len(PROMPT), -1, DIM).swapaxes(0, 1)
    unseen = np.triu(np.full((len(PROMPT), len(PROMPT)), -np.inf), 1)
    for i in range(LAYERS):
        b = f"blk.{i}."
        h = norm(x, b + "attn_norm")
        q, k, v = (heads(linear(h, b + name)) for name in ("attn_q", "attn_k", "attn_v"))
        k, v = (np.repeat(y, HEADS // len(y), 0) for y in (k, v))
        scores = rotate(q) @ rotate(k).swapaxes(1, 2) / np.sqrt(DIM) + unseen
        p = np.exp(scores - scores.max(-1, keepdims=True))
        o = (p / p.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(PROMPT), -1)
        o = o if arch == "opt" else norm(o, b + "attn_sub_norm")
        x = x + linear(o, b + "attn_output")
        h = norm(x, b + "ffn_norm")
        up = linear(h, b + "ffn_up")
        h = np.maximum(up, 0) if arch == "opt" else norm(np.maximum(linear(h, b + "ffn_gate"), 0) ** 2 * up, b + "ffn_sub_norm")
        x = x + linear(h, b + "ffn_down")
    return linear(norm(x, "output_norm"), "token_embd" if arch == "opt" else "output").astype(np.float32)


YARN = {"strings": {"rope.scaling.type": "yarn"}, "floats": {"rope.scaling.factor": 4.0}, "integers": {"rope.scaling.original_context_length": 16}}
# With an original context of 1 all divisors are the long ones (of position 0 every angle is 0), with 512 (llama.cpp's
# choice is by the context that is asked for, 256 at least) the short ones.
LONG = {"rope_factors_short": [1.0, 1.1, 1.3, 1.7, 2.5, 4.0], "rope_factors_long": [1.5, 2.0, 3.0, 5.0, 9.0, 17.0]}
GEMMA2 = {"floats": {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 6.0}, "integers": {"attention.sliding_window": 7}}
MODELS = [
    ("llama-q5_1", "llama", Q.Q5_1, {}, llama_cpp),
    ("qwen2-q8_0", "qwen2", Q.Q8_0, {}, llama_cpp),
    ("phi3-q4_0", "phi3", Q.Q4_0, {}, llama_cpp),
    ("gpt2-q8_0", "gpt2", Q.Q8_0, {"kv": HEADS}, llama_cpp),
    ("bloom-q5_0", "bloom", Q.Q5_0, {"kv": HEADS}, llama_cpp),
    ("llama-f16", "llama", Q.F16, {"ffn": 100}, llama_cpp),
    ("llama-yarn-q8_0", "llama", Q.Q8_0, YARN, llama_cpp),
    ("llama-divisors-q8_0", "llama", Q.Q8_0, {"divisors": {"rope_freqs": [1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 8.0]}}, llama_cpp),
    ("phi3-short-q8_0", "phi3", Q.Q8_0, {"rotated": 12, "divisors": LONG, "floats": {"rope.scaling.attn_factor": 1.2}, "integers": {"rope.scaling.original_context_length": 512}}, llama_cpp),
    ("phi3-long-q8_0", "phi3", Q.Q8_0, {"rotated": 12, "divisors": LONG, "floats": {"rope.scaling.attn_factor": 1.2}, "integers": {"rope.scaling.original_context_length": 1}}, llama_cpp),
    ("opt-q8_0", "opt", Q.Q8_0, {"kv": HEADS}, numpy),
    ("bitnet-relu2-q8_0", "bitnet-b1.58", Q.Q8_0, {}, numpy),
    ("gemma-q8_0", "gemma", Q.Q8_0, {"dim": 24}, llama_cpp),
    ("gemma2-q8_0", "gemma2", Q.Q8_0, {"dim": 24, "layers": 3, **GEMMA2}, llama_cpp),
    ("mixtral-q8_0", "llama", Q.Q8_0, {"experts": 4, "ffn": 96}, llama_cpp),
]

if __name__ == "__main__":
    source, out, *names = sys.argv[1:]
    vocabulary = tokens(source)
    for seed, (name, arch, kind, options, oracle) in enumerate(MODELS):
        if names and name not in names:
            continue
        path = f"{out}/{name}.gguf"
        # Of the first six the first draw was taken; of the others, the first in which at most one of the positions has two largest
        # logits that are nearly equal: those say nothing about who is right.
        for draw in range(seed, 10_000, 100):
            read = make(arch, kind, path, vocabulary, draw, **options)
            logits = oracle(path, arch, read)
            second, first = np.sort(logits, -1)[:, -2:].T
            if seed < 6 or np.sum(first - second < 0.15) <= 1:
                break
        np.save(f"{out}/{name}.logits.npy", logits)
        print(name, draw)
    # Rows of 256, so that K-quants apply; those of the output projection have 64 and fall back to other types.
    plain = f"{out}/plain.f32"
    mixtures = [mixture for mixture in [("llama-q4_k_m", 15), ("llama-q2_k", 10)] if not names or mixture[0] in names]
    if mixtures:
        read = make("llama", Q.F32, plain, vocabulary, 8, hidden=256, ffn=256, layers=6)
    for name, ftype in mixtures:
        path = f"{out}/{name}.gguf"
        mixed(plain, path, ftype)
        np.save(f"{out}/{name}.logits.npy", llama_cpp(path, "llama", read))
        print(name)
    if mixtures:
        os.remove(plain)
