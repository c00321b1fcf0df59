"""From bytes to pictures and text: types by content, bounded decoding, OCR, passages."""
