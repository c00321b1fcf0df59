"""Tiny checkpoints in the formats of the hub, made here since no weights can be downloaded."""

from pathlib import Path
from typing import Any

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "dog", "cat", "on", "beach"]


def tiny_sentences(folder: Path) -> Path:
    """Make a sentence-transformers model of width 16 with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    save_tokenizer(folder / "bert")
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"), max_seq_length=16)
    model = SentenceTransformer(modules=[words, Pooling(16)], device="cpu")
    model.save(str(folder / "tiny-sentences"))
    return folder / "tiny-sentences"


def save_tokenizer(folder: Path, **settings: Any) -> Any:
    """Write a word tokenizer of a few words."""
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), **settings)
    tokenizer.save_pretrained(folder)
    return tokenizer
