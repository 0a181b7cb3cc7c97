"""Webhooks: who may tell us that a source moved, and whether what they tell matters.

A webhook is a hint that makes us fetch. What it says decides yes or no and is used for nothing else.
"""
