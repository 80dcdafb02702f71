"""May this message still go? Suppression, stops, and whether an attempt has begun before."""
