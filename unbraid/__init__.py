"""unbraid: encoders that keep what you want and drop what you do not, and honest measurement of how well."""

__version__ = "0.1.0"
