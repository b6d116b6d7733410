"""How the losses of several tasks become one: one file a method."""
