"""FSDP2: a model's weights, gradients and optimiser state shared out among the processes that train it."""
