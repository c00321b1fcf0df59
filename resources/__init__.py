"""What the work borrows: stores, models and settings, as resources that hand out plain objects."""
