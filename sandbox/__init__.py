"""Emulated vendors on this machine, and a story played through the hub. Not part of the hub: it is a guest of it."""
