"""Trained models: train, keep, load and use them."""
