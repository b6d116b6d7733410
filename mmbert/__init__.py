"""mmbert: multimodal fusion of text, image and audio, and honest comparisons of fusion strategies."""

__version__ = "0.1.0"
