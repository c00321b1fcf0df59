"""What must hold of every table: suites of expectations, the rows they look at, and the list."""
