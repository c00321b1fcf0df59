import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import VOCABULARY, save_tokenizer, tiny_sentences
from PIL import Image

from pipelines.errors import ModelUnavailable
from pipelines.models import factory
from pipelines.models.hub import (
    BlipCaptioner,
    OpenClipEncoder,
    SentenceTransformerEncoder,
    weights_hash,
)

TEXTS = ["a dog on a beach", "the cat", "dog dog dog dog dog dog dog dog"]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [
        Image.fromarray(noise.integers(0, 256, size, dtype=np.uint8))
        for size in ((30, 50, 3), (64, 32, 3), (48, 48, 3))
    ]


@pytest.fixture(scope="module")
def clip_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny CLIP called `tiny-clip`, saved as a pickle of tensors and as safetensors."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 8,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    (folder / "tiny-clip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    state = open_clip.create_model("tiny-clip").state_dict()
    torch.save(state, folder / "tiny.pt")
    save_file(state, folder / "tiny.safetensors")
    return {"pickle": folder / "tiny.pt", "safetensors": folder / "tiny.safetensors"}


@pytest.fixture(scope="module")
def sentence_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentences(tmp_path_factory.mktemp("sentences"))


def check_rows(together: np.ndarray, apart: list[np.ndarray], dimension: int) -> None:
    assert together.shape == (len(apart), dimension)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["pickle", "safetensors"])
def test_open_clip_encodes_images_and_texts(
    kind: str, clip_checkpoints: dict[str, Path], pictures: list[Image.Image]
) -> None:
    encoder = OpenClipEncoder("tiny-clip", str(clip_checkpoints[kind]))
    prepared = [encoder.prepare(picture) for picture in pictures]
    apart = [encoder.encode_prepared([each]) for each in prepared]
    check_rows(encoder.encode_prepared(prepared), apart, 24)
    check_rows(encoder.encode_texts(TEXTS), [encoder.encode_texts([each]) for each in TEXTS], 24)
    assert encoder.encode_texts([]).shape == encoder.encode_prepared([]).shape == (0, 24)


def test_open_clip_identity_follows_the_weights(clip_checkpoints: dict[str, Path]) -> None:
    import torch

    first, second = (OpenClipEncoder("tiny-clip", str(p)) for p in clip_checkpoints.values())
    assert first.identity == second.identity
    assert first.identity.revision == "local"
    assert '"mean"' in first.identity.preprocessing
    with torch.no_grad():
        next(second._model.parameters()).view(-1)[0] += 1
    assert weights_hash(second._model) != first.identity.weights


def test_open_clip_runs_no_code_of_a_checkpoint(tmp_path: Path) -> None:
    import torch

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ModelUnavailable, match="ViT-B-32"):
        OpenClipEncoder("ViT-B-32", str(tmp_path / "trap.pt"))
    assert not (tmp_path / "ran").exists()


def test_sentence_transformer_encodes_texts(sentence_model: Path) -> None:
    encoder = SentenceTransformerEncoder(str(sentence_model))
    check_rows(encoder.encode_texts(TEXTS), [encoder.encode_texts([each]) for each in TEXTS], 16)
    assert encoder.encode_texts([]).shape == (0, 16)
    identity = encoder.identity
    assert (identity.name, identity.revision) == ("tiny-sentences", "local")
    assert str(sentence_model.parent) not in identity.as_json()
    assert '"tokens": 16' in identity.preprocessing
    assert identity == SentenceTransformerEncoder(str(sentence_model)).identity


def test_the_factory_loads_a_hub_model_once(
    sentence_model: Path, clip_checkpoints: dict[str, Path]
) -> None:
    words = f"sentence-transformers:{sentence_model}"
    assert factory.text_encoder(words) is factory.text_encoder(words)
    pictures = f"open_clip:tiny-clip/{clip_checkpoints['safetensors']}"
    assert factory.text_encoder(pictures) is factory.image_encoder(pictures)


def tiny_blip(folder: Path) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor
    from transformers.models.blip.image_processing_blip import BlipImageProcessor

    tokenizer = save_tokenizer(folder)
    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    special = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(
        text_config={
            **tower,
            **special,
            "vocab_size": len(VOCABULARY),
            "encoder_hidden_size": 16,
            "projection_dim": 16,
            "max_position_embeddings": 64,
        },
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(images, tokenizer).save_pretrained(folder)


def tiny_blip2(folder: Path) -> None:
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        OPTConfig,
    )
    from transformers.models.blip.image_processing_blip import BlipImageProcessor

    tokenizer = save_tokenizer(folder)
    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    processor = Blip2Processor(
        BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer, num_query_tokens=4
    )
    config = Blip2Config(
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        qformer_config={**tower, "encoder_hidden_size": 16, "vocab_size": len(VOCABULARY)},
        text_config=OPTConfig(
            vocab_size=len(VOCABULARY) + 1,
            hidden_size=16,
            ffn_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            word_embed_proj_dim=16,
            max_position_embeddings=64,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
        ).to_dict(),
        num_query_tokens=4,
        image_token_index=len(VOCABULARY),
    )
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


@pytest.mark.parametrize("make", [tiny_blip, tiny_blip2])
def test_blip_captions(make: Any, tmp_path: Path, pictures: list[Image.Image]) -> None:
    import torch

    torch.manual_seed(0)
    make(tmp_path / "tiny-blip")
    captioner = factory.captioner(f"blip:{tmp_path / 'tiny-blip'}")
    prepared = [captioner.prepare(picture) for picture in pictures]
    captions = captioner.caption_prepared(prepared)
    assert captions == [captioner.caption_prepared([each])[0] for each in prepared]
    assert captions == BlipCaptioner(str(tmp_path / "tiny-blip")).caption_prepared(prepared)
    assert all(set(caption.split()) <= set(VOCABULARY) for caption in captions)
    assert any(captions)
    assert captioner.caption_prepared([]) == []
    identity = captioner.identity
    assert (identity.name, identity.revision, identity.dimension) == ("tiny-blip", "local", 0)
    assert "greedy" in identity.preprocessing
    assert str(tmp_path) not in identity.as_json()


def test_what_cannot_be_loaded_is_named(tmp_path: Path, sentence_model: Path) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(ModelUnavailable, match="absent"):
        OpenClipEncoder("ViT-B-32", absent)
    with pytest.raises(ModelUnavailable, match="no-such-model"):
        OpenClipEncoder("no-such-model", absent)
    with pytest.raises(ModelUnavailable, match="absent"):
        SentenceTransformerEncoder(absent)
    with pytest.raises(ModelUnavailable, match="absent"):
        BlipCaptioner(absent)
    with pytest.raises(ModelUnavailable, match="not blip or blip-2"):
        BlipCaptioner(str(sentence_model))
