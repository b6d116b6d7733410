"""Kills commands at random moments and compares what they leave in the end with what one leaves that nobody touched."""
