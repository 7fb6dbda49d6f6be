"""Models of random weights, one per architecture, and llama.cpp's logits of a prompt: tests/data/architectures.

pip install numpy==2.4.6 gguf==0.19.0 llama-cpp-python==0.3.36; python make.py SOURCE.gguf OUT
SOURCE.gguf lends its tokeniser (tests/data/models/tiny-llama-q8_0.gguf). Same versions, same bytes of the models; logits may differ
in the last digits with the CPU.
"""
import os
import sys

import numpy as np
from gguf import GGUFReader, GGUFWriter, GGMLQuantizationType as Q, quants

FFN, HEADS, KV, DIM, CONTEXT, VOCAB = 160, 4, 2, 16, 64, 300
PROMPT = [41, 78, 259, 266, 78, 291, 287, 12, 268, 33, 120, 299, 17, 280, 64, 271, 205, 98, 262, 285, 44, 150, 276, 293]


def tokens(source):
    field = lambda name: GGUFReader(source).get_field(name)
    text = lambda f: [bytes(f.parts[i]).decode() for i in f.data]
    words = text(field("tokenizer.ggml.tokens"))[:VOCAB]
    merges = [m for m in text(field("tokenizer.ggml.merges")) if m.replace(" ", "") in words]
    types = field("tokenizer.ggml.token_type")
    return words, merges, [int(types.parts[i][0]) for i in types.data][:VOCAB]


def make(arch, kind, out, vocabulary, seed, **options):
    rng = np.random.default_rng(seed)
    words, merges, types = vocabulary
    kv = options.get("kv", KV)
    ffn = options.get("ffn", FFN)
    HIDDEN, LAYERS = options.get("hidden", 64), options.get("layers", 2)
    w = GGUFWriter(out, arch)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(ffn)
    w.add_head_count(HEADS)
    w.add_head_count_kv(kv)
    layer = arch in ("gpt2", "bloom")
    (w.add_layer_norm_eps if layer else w.add_layer_norm_rms_eps)(1e-5)
    if not layer:
        w.add_rope_dimension_count(DIM)
        w.add_rope_freq_base(10000.0)
    w.add_vocab_size(len(words))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(words)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    w.add_add_bos_token(False)

    def matrix(name, n, k, gain=1.0, kind=kind):
        x = (rng.standard_normal((n, k)) * gain / np.sqrt(k)).astype(np.float32)
        if kind == Q.F32:
            w.add_tensor(name, x)
        elif kind == Q.F16:
            w.add_tensor(name, x.astype(np.float16))
        else:
            w.add_tensor(name, quants.quantize(x, kind), raw_dtype=kind)

    def norm(name, n):
        w.add_tensor(name + ".weight", (1 + 0.1 * rng.standard_normal(n)).astype(np.float32))
        if layer:
            bias(name, n)

    def bias(name, n):
        w.add_tensor(name + ".bias", (0.1 * rng.standard_normal(n)).astype(np.float32))

    matrix("token_embd.weight", len(words), HIDDEN, gain=np.sqrt(HIDDEN), kind=Q.F16)
    if arch == "gpt2":
        matrix("position_embd.weight", CONTEXT, HIDDEN, gain=0.3 * np.sqrt(HIDDEN), kind=Q.F32)
    if arch == "bloom":
        norm("token_embd_norm", HIDDEN)
    norm("output_norm", HIDDEN)
    matrix("output.weight", len(words), HIDDEN, gain=3.0)
    q, k = HEADS * DIM, kv * DIM
    for i in range(LAYERS):
        b = f"blk.{i}."
        norm(b + "attn_norm", HIDDEN)
        if arch in ("phi3", "gpt2", "bloom"):
            matrix(b + "attn_qkv.weight", q + 2 * k, HIDDEN, gain=1.5)
            if layer:
                bias(b + "attn_qkv", q + 2 * k)
        else:
            for name, n in (("attn_q", q), ("attn_k", k), ("attn_v", k)):
                matrix(b + name + ".weight", n, HIDDEN, gain=1.5)
                if arch == "qwen2":
                    bias(b + name, n)
        matrix(b + "attn_output.weight", HIDDEN, q, gain=0.7)
        if layer:
            bias(b + "attn_output", HIDDEN)
        norm(b + "ffn_norm", HIDDEN)
        if arch == "phi3":
            matrix(b + "ffn_up.weight", 2 * ffn, HIDDEN)
        elif layer:
            matrix(b + "ffn_up.weight", ffn, HIDDEN)
            bias(b + "ffn_up", ffn)
        else:
            matrix(b + "ffn_gate.weight", ffn, HIDDEN)
            matrix(b + "ffn_up.weight", ffn, HIDDEN)
        matrix(b + "ffn_down.weight", HIDDEN, ffn, gain=0.7)
        if layer:
            bias(b + "ffn_down", HIDDEN)
    if options.get("lengths"):
        w.add_key_length(DIM)
        w.add_value_length(DIM)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def mixed(source, out, ftype):
    """llama.cpp's own mixture of types for a file."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 1
    assert llama_cpp.llama_model_quantize(source.encode(), out.encode(), params) == 0


def logits(path):
    from llama_cpp import Llama

    model = Llama(path, n_ctx=CONTEXT, n_batch=CONTEXT, n_threads=1, logits_all=True, verbose=False)
    model.eval(PROMPT)
    return np.array(model.scores[: len(PROMPT)], dtype=np.float32)


if __name__ == "__main__":
    source, out = sys.argv[1:3]
    vocabulary = tokens(source)
    for seed, (name, arch, kind, options) in enumerate([
        ("llama-q5_1", "llama", Q.Q5_1, {}),
        ("qwen2-q8_0", "qwen2", Q.Q8_0, {}),
        ("phi3-q4_0", "phi3", Q.Q4_0, {}),
        ("gpt2-q8_0", "gpt2", Q.Q8_0, {"kv": HEADS}),
        ("bloom-q5_0", "bloom", Q.Q5_0, {"kv": HEADS}),
        ("llama-f16", "llama", Q.F16, {"ffn": 100}),
    ]):
        path = f"{out}/{name}.gguf"
        make(arch, kind, path, vocabulary, seed, **options)
        np.save(f"{out}/{name}.logits.npy", logits(path))
        print(name)
    # Rows of 256, so that K-quants apply; those of the output projection have 64 and fall back to other types.
    plain = f"{out}/plain.f32"
    make("llama", Q.F32, plain, vocabulary, 8, hidden=256, ffn=256, layers=6, lengths=True)
    for name, ftype in [("llama-q4_k_m", 15), ("llama-q2_k", 10)]:
        path = f"{out}/{name}.gguf"
        mixed(plain, path, ftype)
        np.save(f"{out}/{name}.logits.npy", logits(path))
        print(name)
    os.remove(plain)
