"""Seeded simulation of experiments, thousands side by side, judged at every look by the product's own formulas.

It shows how often a design errs before it is run (`plan`, `planned`: that is `tiltyard experiment simulate`), and how often the product's
own tests do (`claims`, `calibration`, the cases: that is `make calibrate` and, shortened, a test). That it decides what `looks.look`
decides, look by look, is tested.
"""
