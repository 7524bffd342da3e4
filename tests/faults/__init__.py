"""The fault bench: real servers under clients, applications and signals that behave badly."""
