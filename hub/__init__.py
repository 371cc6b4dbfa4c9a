"""The licensing hub: sales become licenses, and every license can say why it is what it is."""

__version__ = "0.1.0"
