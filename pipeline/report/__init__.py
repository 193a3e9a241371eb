"""The report: every number of ``results/`` as tables, charts, pictures and one HTML page."""
