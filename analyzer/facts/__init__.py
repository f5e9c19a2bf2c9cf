"""Derived tables that detectors and the story share. Facts state what happened; they never judge."""
