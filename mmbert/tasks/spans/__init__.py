"""Parts of tasks that label stretches of a sequence: words, entities, answers."""
