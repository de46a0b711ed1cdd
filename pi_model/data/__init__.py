"""Documents, embedded corpora, training windows and prompts."""
