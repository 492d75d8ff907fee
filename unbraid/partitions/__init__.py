"""Finding the partition of the images under which an encoder does worst, and keeping those found."""
