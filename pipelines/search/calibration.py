"""Raw similarities on one scale: 0 is what unrelated things have, 1 is a match beyond doubt.

Fixed, not fitted to a query, so that scores of different queries compare. The constants for text
and pictures and the weights in the channel registry were chosen together by a coarse search over
203 labelled queries (photos by caption and by class, scanned receipts by shop and by product, the
samples' own), for fused recall@10 and MRR not below the best single channel of each group. Those of
sound and BM25 were chosen on an index of photos, receipts, speech and video together.
"""

import math

# Cosine of unrelated and of perfect pairs, by the model and by what it is asked with. Contrastive
# encoders keep texts and pictures apart, so the cosines of such pairs lie in a narrow low band.
_COSINES = {("open_clip", "text"): (0.10, 0.40), ("open_clip", "pictures"): (0.40, 1.0)}
# Recordings of one kind, such as two people who speak, are alike without having to do with another.
_SOUND = (0.40, 1.0)
_COSINE = (0.05, 1.0)
# Above 1: a strong match in one channel counts for more than weak ones in several.
_POWER = 1.5
_BM25_SHARE = 4.0
# Transcripts share everyday words with any question; only several of its words together tell.
_BM25_POWER = 3.0


def similarity(cosine: float, spec: str, medium: str = "text") -> float:
    """Calibrate a cosine similarity of the encoder chosen by `spec`: 0..1.

    `medium` is what it was asked with: text, pictures or sound.
    """
    usual = _SOUND if medium == "sound" else _COSINE
    low, high = _COSINES.get((spec.partition(":")[0], medium), usual)
    return min(max((cosine - low) / (high - low), 0.0), 1.0) ** _POWER


def bm25(score: float, words: int, passages: int) -> float:
    """Calibrate a BM25 score: 0..1, about the share of the query's words that were matched.

    One match among many words says little, and a rare word weighs about log(passages) in BM25.
    """
    attainable = max(words, 1) * math.log(1 + passages) / _BM25_SHARE
    return min(score / attainable, 1.0) ** _BM25_POWER if attainable else 0.0
