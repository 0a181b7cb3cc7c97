"""A long run with random faults, edits, pushes and kills, and a checker that believes none of our code."""
