"""Serving: one engine that answers many requests with continuous batching of text and music."""
