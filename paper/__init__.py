"""The report: its text is main.tex, its numbers and tables come from records."""
