"""Tables: CSV, Parquet and data frames to typed columns."""
