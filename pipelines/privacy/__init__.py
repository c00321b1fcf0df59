"""Private data: finding it in text, and covering it in text, word boxes and pixels alike."""
