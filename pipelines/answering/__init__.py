"""What is answered in sentences: quotes with citations, and descriptions of pictures."""
