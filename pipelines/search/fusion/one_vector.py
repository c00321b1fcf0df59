"""One vector for all that is asked with: the mean of a text's, a picture's and its caption's."""

from collections.abc import Sequence

import numpy as np

from pipelines.errors import BadInput


def mean_vector(parts: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Average unit vectors (dimension,) of one space into a unit vector.

    Each comes with the model that its space belongs to, as settings name it: equal widths alone do
    not make vectors comparable. Raises BadInput for vectors of different models or widths, which
    are never cut or padded, and where vectors cancel out.
    """
    spaces = dict.fromkeys((model, vector.shape[-1]) for model, vector in parts)
    if len(spaces) != 1:
        named = ", ".join(f"{model} ({width} wide)" for model, width in spaces) or "none"
        raise BadInput(
            f"one vector can only be made of vectors of one model, not of {named}: choose another "
            "profile, or one model for texts and pictures"
        )
    mean = np.stack([vector for _, vector in parts]).mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise BadInput("what is asked with cancels out: its vectors add up to nothing")
    return mean / length
