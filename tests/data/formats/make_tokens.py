"""Texts and their token ids: the oracle of lutsim-formats' tokenisers.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3
    python make_tokens.py ../models/tokenizer.json ../models/validation.txt tokens.json

`words`: characters of each word, as the expressions that GPT-2, Llama 3, Qwen2 and BLOOM have in their tokenizer.json split texts.
`bpe`: the ids of those words with the vocabulary of tokenizer.json. Both by Hugging Face's `tokenizers`. `spm`: a vocabulary of 600 trained on validation.txt with the options of Llama's, by SentencePiece.
The same command gives the same bytes.
"""
import io
import json
import pathlib
import random
import sys

import sentencepiece
from tokenizers import Regex, Tokenizer, pre_tokenizers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
EXPRESSIONS = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama-bpe": LLAMA3,
    "qwen2": LLAMA3.replace("{1,3}", ""),
    "bloom": r" ?[^(\s|.,!?…。，、।۔،)]+",
}
TEXTS = [
    "Hello, world!", " leading", "trailing ", "two  spaces", "   ", "\n", "\n\n  \n x", " \n\n  indented\r\n\r\nmore\t\tt",
    "I'll don't WE'VE it's I'M you'Re 'S 'd'LL ''s '", "'\u017fcold \u017f", "3 33 333 3333 33333 3.14 1,000,000 ²³ Ⅷ ½ ٣٤٥ ५",
    "naïve café — Ωmega 日本語のテキスト 한국어 🙂👩‍👩‍👧‍👦🇩🇪", "हिन्दी में पाठ। और क्षत्रिय", "العربية، نص؟ ۔", "a\u00a0b\u2003c\u3000d\u0085e\u2028f",
    "snake_case camelCase x=y+z; // ok\n\tif (a|b) { return; }", "...!!!???……。，、", "(a) [b] |c| <d>", "e\u0301 o\u0308 \u0300", "\u200b\ufeff\x00\x7f",
    "<|endoftext|>", "<s></s><unk><0x0A>", "\u2581meta\u2581 \u2581", "A" * 70, "ab" * 40, "the" * 30, "=" * 33 + "\n" + "-" * 20, "\ud7a3\U0010ffff\U00020000",
]
ALPHABET = list("abcdeTHE 's'tRE   \n\n\r\t.,!?()|-0123456789") + ["'ll", " the", " and", "é", "Ω", "日", "本", "🙂", "ि", "ß", "Ⅷ", "\u00a0", "\u2581", "।"]


def texts():
    rng = random.Random(20261121)
    return TEXTS + ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 60))) for _ in range(200)]


def words():
    split = {name: pre_tokenizers.Split(Regex(e), behavior="isolated") for name, e in EXPRESSIONS.items()}
    return {name: [[len(word) for word, _ in s.pre_tokenize_str(text)] for text in texts()] for name, s in split.items()}


def bpe(path):
    out = {}
    for name, expression in EXPRESSIONS.items():
        config = json.loads(pathlib.Path(path).read_text())
        config["model"]["ignore_merges"] = name == "llama-bpe"
        config["added_tokens"] = []
        tokenizer = Tokenizer.from_str(json.dumps(config))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(expression), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        out[name] = [tokenizer.encode(text).ids for text in texts()]
    return out


def spm(corpus):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(pathlib.Path(corpus).read_text().splitlines()), model_writer=model, model_type="bpe", vocab_size=600,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2)
    p = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    n = range(p.get_piece_size())
    kind = lambda i: 2 if p.is_unknown(i) else 3 if p.is_control(i) else 6 if p.is_byte(i) else 1
    cases = texts()
    return dict(pieces=[p.id_to_piece(i) for i in n], scores=[p.get_score(i) for i in n], kinds=[kind(i) for i in n],
                tokens=[p.encode(t) for t in cases], decoded=[p.decode(p.encode(t)) for t in cases])


def main():
    out = dict(texts=texts(), words=words(), bpe=bpe(sys.argv[1]), spm=spm(sys.argv[2]))
    pathlib.Path(sys.argv[3]).write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
