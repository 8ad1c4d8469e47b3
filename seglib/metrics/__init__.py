"""Scores: counts first, one row an image and class; every figure is an aggregation of them, and says which."""
