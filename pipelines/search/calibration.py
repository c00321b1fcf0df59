"""Raw similarities on one scale: 0 is what unrelated things have, 1 is a match beyond doubt."""

def calibrate(channel: str, value: float) -> float:
    """x"""
    return value
