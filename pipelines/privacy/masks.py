"""What stands in a text for something private that was there."""

import re

MASK = re.compile(r"<[A-Z][A-Z_]*>")
"""A mask such as `<PHONE_NUMBER>`, whatever it stands for."""
