"""Pages, tables and charts of results."""
