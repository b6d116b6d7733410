"""A saved model made smaller and faster, and what that costs: pruning, int8, distillation, fewer modalities."""
