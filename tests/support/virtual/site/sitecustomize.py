"""Fits the wires of virtual boards in every Python that finds this folder on PYTHONPATH."""

from tests.support.virtual.wires import fit

fit()
