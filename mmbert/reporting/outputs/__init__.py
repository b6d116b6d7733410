"""What a report is written to: Markdown, HTML, LaTeX, wandb."""
