"""Tests of the settlement service."""
