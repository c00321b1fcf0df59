"""Where rows are found: the tables of a release, or their mirror in memory."""
