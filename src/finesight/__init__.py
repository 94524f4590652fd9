"""Fine-tune small vision-language models on your own data, and see honestly what changed."""

__version__ = "0.1.0"
