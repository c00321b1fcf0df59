"""From what each channel found to one ranked list whose scores add up."""
