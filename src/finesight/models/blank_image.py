"""Images whose content is taken away."""

from __future__ import annotations

from PIL import Image


class BlankImage:
    """Stands for an image without content: all blank images are one."""

    name = "blank"

    def open(self) -> Image.Image:
        """Raise: there is nothing to see; `Formatter.pixels` makes what the model gets."""
        raise OSError("a blank image has no file")

    def content_hash(self) -> str:
        """Return the same for every blank image, so that all questions share one context."""
        return "blank"
