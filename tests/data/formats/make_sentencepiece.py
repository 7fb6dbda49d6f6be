"""A tokenizer.json of SentencePiece's kind, and token ids by Hugging Face's `tokenizers`: the oracle of lutsim-formats' json files.

    pip install tokenizers==0.23.3
    python make_sentencepiece.py tokens.json sentencepiece.json

The vocabulary is that of `spm` in tokens.json. Its merges follow from the scores as `transformers` converts a SentencePiece model:
every way to put a piece together, the best score first, ways of one piece by the ids of their parts. `variants`: what the files of
some families have instead of Llama-2's keys, and ids and texts of `texts`. The same command gives the same bytes.
"""
import copy
import json
import pathlib
import sys

from tokenizers import Tokenizer

SPACE = "\u2581"
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
BACK = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
MORE = ["<|user|>\n Hello <|end|>\t\n<|assistant|>", "a<s>b", "<s> a", " <s>", "<s>", "a\n\nb\n\n\nc", f"{SPACE} x", f"a {SPACE}<s>{SPACE}b", "<|end|> <|end|>x"]


def added(id, content, special=True, rstrip=False):
    return dict(id=id, content=content, single_word=False, lstrip=False, rstrip=rstrip, normalized=False, special=special)


def sequence(of, steps):
    return {"type": "Sequence", of: steps}


def metaspace(scheme):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": False}


def base(spm):
    vocab = {piece: i for i, piece in enumerate(spm["pieces"])}
    merges = []
    for piece, score in zip(spm["pieces"], spm["scores"]):
        ways = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        merges += [(score, way) for way in sorted(ways, key=lambda way: (vocab[way[0]], vocab[way[1]]))]
    merges.sort(key=lambda merge: -merge[0])
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=[added(i, spm["pieces"][i]) for i in range(3)],
        normalizer=sequence("normalizers", [{"type": "Prepend", "prepend": SPACE}, REPLACE]), pre_tokenizer=None,
        post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        decoder=sequence("decoders", [BACK, {"type": "ByteFallback"}, {"type": "Fuse"}, STRIP]),
        model=dict(type="BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=True,
                   byte_fallback=True, ignore_merges=False, vocab=vocab, merges=[list(way) for _, way in merges]))


def variants(file):
    first, n = file["added_tokens"], len(file["model"]["vocab"])
    plain = sequence("decoders", [BACK, {"type": "ByteFallback"}, {"type": "Fuse"}])
    return {
        "llama": {},
        "mistral": dict(normalizer=None, pre_tokenizer=metaspace("first")),
        "always": dict(normalizer=None, pre_tokenizer=metaspace("always")),
        "never": dict(normalizer=None, pre_tokenizer=metaspace("never"), decoder=plain),
        "gemma": dict(normalizer=REPLACE, decoder=plain,
                      pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                      added_tokens=first + [added(n, "\n\n", special=False)]),
        "phi3": dict(added_tokens=first + [added(n + i, f"<|{name}|>", rstrip=name != "user") for i, name in enumerate(["user", "end", "assistant"])]),
    }


def main():
    vectors = json.loads(pathlib.Path(sys.argv[1]).read_text())
    file, texts, out = base(vectors["spm"]), vectors["texts"][:80] + MORE, {}
    for name, keys in variants(file).items():
        tokenizer = Tokenizer.from_str(json.dumps(copy.deepcopy(file) | keys))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        out[name] = dict(keys=keys, tokens=ids, decoded=[tokenizer.decode(i) for i in ids])
    pathlib.Path(sys.argv[2]).write_text(json.dumps(dict(file=file, texts=texts, variants=out), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
