"""The work itself, in plain Python: knows neither Dagster nor HTTP.

Heavy libraries are imported inside the functions that use them, so importing this package is cheap.
"""
