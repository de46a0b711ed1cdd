"""Pictures and sliders that the notebooks draw."""
