"""Hostile input: accepted with what a conforming gateway gives, or answered with the documented 4xx; nothing else."""
