"""Seeded simulation of experiments, thousands side by side, judged at every look by the product's own formulas.

It shows how often a design errs (`claims`, `calibration`), before it is run (`planned`). That it decides what `looks.look` decides,
look by look, is tested.
"""
