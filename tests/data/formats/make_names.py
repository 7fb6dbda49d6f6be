"""Hugging Face names of tensors and what GGUF calls them: an oracle of lutsim-formats' names.

    pip install gguf==0.19.0
    python make_names.py names.csv

The second layer of each family; the table is the Python package's. It has no OPT, and older names for BitNet's sub-norms.
"""
import sys

import gguf

A = gguf.MODEL_ARCH
LLAMA = ["model.embed_tokens", "model.norm", "lm_head"] + [f"model.layers.1.{n}" for n in [
    "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]]
FAMILIES = [
    ("llama", A.LLAMA, LLAMA), ("mistral", A.LLAMA, LLAMA), ("qwen2", A.QWEN2, LLAMA), ("gemma", A.GEMMA, LLAMA),
    ("mixtral", A.LLAMA, [n for n in LLAMA if ".mlp." not in n] + [f"model.layers.1.block_sparse_moe.{n}" for n in [
        "gate", "experts.w1", "experts.w2", "experts.w3"]]),
    ("phi3", A.PHI3, [n for n in LLAMA if not n.endswith(("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"))] + [
        "model.layers.1.self_attn.qkv_proj", "model.layers.1.mlp.gate_up_proj"]),
    ("gemma2", A.GEMMA2, LLAMA + ["model.layers.1.pre_feedforward_layernorm", "model.layers.1.post_feedforward_layernorm"]),
    ("bitnet", A.BITNET, [n for n in LLAMA if n != "lm_head"]),
    ("gpt2", A.GPT2, ["transformer.wte", "transformer.wpe", "transformer.ln_f", "lm_head"] + [f"transformer.h.1.{n}" for n in [
        "ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]]),
    ("bloom", A.BLOOM, ["transformer.word_embeddings", "word_embeddings_layernorm", "transformer.ln_f", "lm_head"] + [f"h.1.{n}" for n in [
        "input_layernorm", "self_attention.query_key_value", "self_attention.dense", "post_attention_layernorm",
        "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]]),
]


def main():
    with open(sys.argv[1], "w") as f:
        f.write("family,hugging_face,gguf\n")
        for family, arch, names in FAMILIES:
            table = gguf.get_tensor_name_map(arch, 2)
            for name in names:
                mapped = table.get_name(name)
                if mapped:
                    f.write(f"{family},{name},{mapped}\n")


if __name__ == "__main__":
    main()
