"""Pages and tables of results: the page of `understand`, the page and the table of `evaluate`."""
