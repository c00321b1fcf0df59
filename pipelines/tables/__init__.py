"""Where rows live: facts and text in Delta Lake, what is searched in LanceDB, pictures in blobs."""
