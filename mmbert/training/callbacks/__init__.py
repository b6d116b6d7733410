"""What Lightning calls while a model is trained."""
