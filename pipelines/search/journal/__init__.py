"""What was asked and answered: written beside the answers, explained, replayed and judged."""
