"""Which media there are: sources, what people say of them, and items with ids that stay."""
