"""GPU backends as folders of their own: what they say, where they lie, how they come and go."""
