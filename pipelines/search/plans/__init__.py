"""How much of a release a query looks at first: all of it, the cheap channels, or some domains."""
