"""SVG files as short text that a language model reads, as files again, and as pictures."""
