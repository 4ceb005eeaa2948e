"""Shared helpers without knowledge of models."""
