"""The report. Its text is main.tex; every number and table in it comes from a record."""
