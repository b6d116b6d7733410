"""Words that every layer shares: what travels between them, the arithmetic of absence, errors."""
