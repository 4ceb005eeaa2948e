"""Batches on a device, resident or streamed."""
