"""Tiny checkpoints in the formats of the hub, made here since no weights can be downloaded."""

from pathlib import Path
from typing import Any

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "dog", "cat", "on", "beach"]


def bert_config(words: int, **changed: Any) -> Any:
    """Return the configuration of a BERT of width 16."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=words,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        **changed,
    )


def tiny_sentences(folder: Path) -> Path:
    """Make a sentence-transformers model of width 16 with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertModel

    save_tokenizer(folder / "bert")
    config = bert_config(len(VOCABULARY))
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


def tiny_wav2vec2(folder: Path) -> Path:
    """Make a wav2vec 2.0 model of width 16 with random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2Model(config).save_pretrained(folder / "tiny-wav2vec2")
    Wav2Vec2FeatureExtractor().save_pretrained(folder / "tiny-wav2vec2")
    return folder / "tiny-wav2vec2"


def tiny_tagger(folder: Path, labels: int = 8, problem: str | None = None) -> Path:
    """Make an Audio Spectrogram Transformer over 0.64 s with random weights."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    view = {"num_mel_bins": 16, "max_length": 64}
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        id2label={index: f"sound {index}" for index in range(labels)},
        problem_type=problem,
        initializer_range=1.0,
        **view,
    )
    ASTForAudioClassification(config).save_pretrained(folder / "tiny-tagger")
    ASTFeatureExtractor(**view).save_pretrained(folder / "tiny-tagger")
    return folder / "tiny-tagger"


def tiny_whisper(folder: Path) -> Path:
    """Make a multilingual Whisper of width 16 with random weights, in OpenAI's own format."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(0)
    width = {"n_audio_state": 16, "n_text_state": 16, "n_audio_head": 2, "n_text_head": 2}
    depth = {"n_audio_layer": 1, "n_text_layer": 1}
    dimensions = ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_vocab=51865, n_text_ctx=32, **width, **depth
    )
    state = Whisper(dimensions).state_dict()
    # Whisper itself leaves this one as it finds the memory.
    torch.nn.init.normal_(state["decoder.positional_embedding"])
    path = folder / "tiny-whisper.pt"
    torch.save({"dims": vars(dimensions), "model_state_dict": state}, path)
    return path
