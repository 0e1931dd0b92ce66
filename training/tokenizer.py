"""The reader's tokenizer: a byte-level BPE as Qwen2's, small, and trained on what the reader reads.

`python -m training.tokenizer OUT [--texts DIRECTORY]` writes tokenizer.json, tokenizer_config.json and
chat_template.jinja. Digits are always tokens of their own, so that a number is read and not guessed, and a box
coordinate of 0 to 1000 is one to four tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from training.texts import EnglishTexts

VOCABULARY = 4096  # tokens in all, with the added ones
LONGEST = 16  # bytes of a token: longer ones would be phrases of templates
DOCUMENTS = 40_000
SEED = 1
# Qwen2's control tokens. All special: they go when special tokens are skipped.
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
           "<|image_pad|>", "<|video_pad|>")  # fmt: skip
# Text that a client parses, and so not special, as in Qwen2.5.
TOOLS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
# MinerU's, for layouts and tables (OTSL). Special: its client asks to keep special tokens.
LAYOUT = ("<|ref_start|>", "<|ref_end|>", "<|rotate_up|>", "<|rotate_right|>", "<|rotate_down|>", "<|rotate_left|>",
          "<|txt_contd_tgt|>", "<fcel>", "<ecel>", "<lcel>", "<ucel>", "<xcel>", "<nl>")  # fmt: skip
ADDED = (*((token, True) for token in CONTROL), *((token, False) for token in TOOLS), *((t, True) for t in LAYOUT))
# Qwen2's: contractions, words with what stands before them, single digits, signs, line ends, spaces.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
BLOCKS = ("text", "title", "doc_title", "paragraph_title", "table", "equation", "formula_number", "code", "algorithm",
          "aside_text", "ref_text", "index", "list_item", "caption", "table_caption", "image_caption", "code_caption",
          "footnote", "table_footnote", "image_footnote", "header", "footer", "page_number", "page_footnote", "image",
          "chart", "list", "unknown")  # fmt: skip
PROMPTS = ("\nText Recognition:", "\nTable Recognition:", "\nFormula Recognition:", "\nLayout Detection:")
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def documents(texts: EnglishTexts, count: int, seed: int = SEED) -> Iterator[str]:
    """What the tokenizer is trained on: prose first of all, and of everything else that stands on pages."""
    rng = random.Random(seed)
    for _ in range(count):
        draw = rng.random()
        if draw < 0.45 and texts.prose is not None:
            yield texts.prose.run(rng, 600)
        elif draw < 0.65:
            yield texts.paragraph(rng, rng.randrange(60, 500))
        elif draw < 0.8:
            yield _form(texts, rng)
        elif draw < 0.93:
            yield _table(texts, rng)
        else:
            yield _exchange(texts, rng)


def train(texts: EnglishTexts, count: int = DOCUMENTS, vocabulary: int = VOCABULARY) -> Tokenizer:
    """With all 256 bytes in its alphabet, so that any text can be said."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(ADDED),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=LONGEST,
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(texts, count), trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=special) for token, special in ADDED])
    return tokenizer


def save(tokenizer: Tokenizer, out: Path) -> None:
    """Write the three files that transformers and the server read."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "split_special_tokens": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(TEMPLATE, out / "chat_template.jinja")


def _form(texts: EnglishTexts, rng: random.Random) -> str:
    """Lines as forms and receipts have them."""
    label = texts.title(rng)
    values = (texts.person, texts.company, texts.date, texts.code, texts.product, texts.email, texts.phone, texts.word)
    lines = [f"{label}{rng.choice((': ', ' ', '#: '))}{rng.choice(values)(rng)}" for _ in range(3)]
    lines += texts.address(rng)
    lines.append(f"{texts.word(rng).capitalize()} {texts.amount(rng, 1, 999):,.2f}")
    return "\n".join(lines)


def _table(texts: EnglishTexts, rng: random.Random) -> str:
    """Cells, one a line: the tokens that stand between them belong to nobody's merges."""
    makers = (texts.word, texts.product, texts.date, texts.code, texts.title, texts.person)
    chosen = [rng.choice(makers) for _ in range(rng.randrange(2, 5))]
    return "\n".join(maker(rng) for _ in range(4) for maker in chosen)


def _exchange(texts: EnglishTexts, rng: random.Random) -> str:
    """What MinerU's protocol and a call of a tool are written in."""
    draw = rng.random()
    if draw < 0.4:
        return rng.choice(PROMPTS) + "\n" + "\n".join(rng.sample(BLOCKS, 4))
    answer = json.dumps({"name": "save_answer", "arguments": {"answer": texts.code(rng)}})
    if draw < 0.7:
        return f"assistant\n{answer}\n"
    described = {"type": "object", "properties": {texts.word(rng): {"type": "string", "description": texts.title(rng)}}}
    tool = {
        "type": "function",
        "function": {"name": "save_answer", "description": texts.title(rng), "parameters": described},
    }
    return f"system\n<tools>\n{json.dumps(tool)}\n</tools>\nuser\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path, help="a directory that `python -m training.texts` made")
    options = parser.parse_args()
    tokenizer = train(EnglishTexts.load(options.texts, "train"))
    save(tokenizer, options.out)
    held_out, rng = EnglishTexts.load(options.texts, "held-out"), random.Random(SEED)
    sample = [held_out.paragraph(rng, 400) for _ in range(500)]
    tokens = sum(len(tokenizer.encode(text).ids) for text in sample)
    print(
        f"{options.out}: {tokenizer.get_vocab_size()} tokens; {sum(map(len, sample)) / tokens:.2f} characters a token"
    )


if __name__ == "__main__":
    main()
