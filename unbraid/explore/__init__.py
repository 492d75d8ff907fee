"""A trained run as a local web page on which one drops one's own images: ``unbraid explore RUN``."""
