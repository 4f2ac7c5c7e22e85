"""Outages of meters and areas, notices of them, and how well meters communicate."""
