"""Runs LLM-Viewer itself, without network, and writes what it says: one line per operator, in full precision.

    git clone https://github.com/hahnyuan/LLM-Viewer && git -C LLM-Viewer checkout 472f71f
    python3 make.py LLM-Viewer > llm_viewer.csv

`transformers` is stood in for by a module that returns the dimensions below; nothing of the tool is changed.
"""

import contextlib
import io
import sys
import types

COLUMNS = ["OPs", "memory_access", "arithmetic_intensity", "performance", "bound", "load_weight", "load_act", "store_act",
           "load_kv_cache", "store_kv_cache", "inference_time"]
# hidden, intermediate, query heads, key and value heads, layers, vocabulary
MODELS = {
    "llama-2-7b": (4096, 11008, 32, 32, 32, 32000),
    "llama-2-70b": (8192, 28672, 64, 8, 80, 32000),
    "llama-3-8b": (4096, 14336, 32, 8, 32, 128256),
    "llama-3.2-1b": (2048, 8192, 32, 8, 16, 128256),
    "qwen2.5-0.5b": (896, 4864, 14, 2, 24, 151936),
    "bitnet-b1.58-2b4t": (2560, 6912, 20, 5, 30, 128256),
    "bitnet-b1.58-3b": (3200, 8640, 32, 32, 26, 32002),
    "opt-175b": (12288, 49152, 96, 96, 96, 50272),
    "odd": (1003, 2711, 17, 3, 7, 65537),
}
# model, hardware, batch, length, bits of weights, activations, cache, flash attention
CASES = [
    ("llama-2-7b", "nvidia_A6000", 1, 2048, 16, 16, 16, False),
    ("llama-2-7b", "nvidia_A6000", 1, 2048, 16, 16, 16, True),
    ("llama-2-7b", "nvidia_A6000", 7, 1, 4, 16, 16, False),
    ("llama-2-7b", "nvidia_H100", 64, 4096, 8, 8, 8, True),
    ("llama-2-70b", "nvidia_A100_80G", 16, 4096, 4, 16, 8, False),
    ("llama-2-70b", "nvidia_A100", 3, 1111, 3, 8, 5, True),
    ("llama-3-8b", "nvidia_A6000", 1, 8192, 2, 8, 8, False),
    ("llama-3-8b", "nvidia_A6000", 1, 8192, 2, 8, 16, False),
    ("llama-3-8b", "nvidia_A6000", 5, 777, 2, 8, 4, True),
    ("llama-3-8b", "nvidia_V100", 2, 333, 16, 16, 16, False),
    ("llama-3.2-1b", "nvidia_H100", 128, 131072, 8, 16, 8, False),
    ("llama-3.2-1b", "nvidia_A100_40G", 11, 65537, 1, 8, 3, True),
    ("qwen2.5-0.5b", "intel_13900k", 1, 513, 4, 16, 16, False),
    ("qwen2.5-0.5b", "nvidia_A6000", 13, 32767, 5, 7, 3, True),
    ("bitnet-b1.58-2b4t", "nvidia_A6000", 9, 4095, 2, 8, 8, False),
    ("bitnet-b1.58-3b", "nvidia_A6000", 6, 100, 1, 1, 1, True),
    ("opt-175b", "nvidia_H100", 255, 2048, 16, 16, 16, False),
    ("opt-175b", "nvidia_A100", 1, 2047, 3, 16, 16, True),
    ("odd", "nvidia_A6000", 3, 71, 3, 5, 7, False),
    ("odd", "nvidia_A6000", 3, 71, 16, 8, 8, True),
    ("odd", "nvidia_L40", 1000, 1000003, 11, 13, 15, False),
]


def main():
    sys.path.insert(0, sys.argv[1])
    stub = types.ModuleType("transformers")

    class AutoConfig:
        @staticmethod
        def from_pretrained(name, trust_remote_code=True):
            hidden, intermediate, heads, kv_heads, layers, vocab = MODELS[name]
            return types.SimpleNamespace(hidden_size=hidden, intermediate_size=intermediate, num_attention_heads=heads,
                                         num_key_value_heads=kv_heads, num_hidden_layers=layers, vocab_size=vocab)

    stub.AutoConfig, stub.AutoTokenizer, stub.AutoModelForCausalLM = AutoConfig, object, object
    sys.modules["transformers"] = stub
    from hardwares.hardware_params import hardware_params
    from model_analyzer import ModelAnalyzer

    print("# LLM-Viewer 472f71f, made by make.py. A line `case` gives model,hidden,intermediate,heads,kv_heads,layers,vocab,"
          "hardware,bandwidth,fp16,int8,onchip,batch,length,weight_bits,activation_bits,kv_bits,flash")
    print("# the others: stage,layer_name," + ",".join(COLUMNS) + "; TOTAL; MEMORY: whole,weight,kv,activations")
    for model, hardware, batch, length, w, a, kv, flash in CASES:
        h = hardware_params[hardware]
        with contextlib.redirect_stdout(io.StringIO()):
            analyzer = ModelAnalyzer(model, hardware, "configs/Llama.py")
        results = analyzer.analyze(length, batch, w, a, kv, flash)
        print("case", model, *MODELS[model], hardware, h["bandwidth"], h["FP16"], h.get("INT8", ""), h["onchip_buffer"],
              batch, length, w, a, kv, int(flash), sep=",")
        for stage in ["prefill", "decode"]:
            for name, row in results[stage].items():
                print(stage, name, *(row[c] for c in COLUMNS), sep=",")
        for stage in ["prefill", "decode"]:
            total = results["total_results"][stage]
            print(stage, "TOTAL", *(total.get(c, "") for c in COLUMNS), sep=",")
            print(stage, "MEMORY", *(total["memory_consumption" + s] for s in ["", "_weight", "_kv_cache", "_tmp_act"]), sep=",")


main()
