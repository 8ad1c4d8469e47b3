"""Reproducible experiments in image segmentation: raw public data to a report you can defend."""
