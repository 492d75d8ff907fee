"""A classifier that took the paint for the digit, mended without telling it what the bias is.

    python examples/debias_without_labels.py

In 98 of 100 training images the digit comes in its own paint. Nobody says so: the two methods that help find it out
from what a deliberately biased network learns first.
"""

import unbraid


def main(bias: float = 0.98, epochs: int = 20) -> None:
    for method in ("vanilla", "lff", "disent-swap"):
        data = f"digits-biased:bias={bias}"
        run = unbraid.train(method, data=data, epochs=epochs, metrics=["accuracy"])
        found = {score.variant: score.value for score in run.records() if score.metric == "accuracy"}
        share = found["conflicting, the model's own"]
        print(f"{method}: {share:.2f} of the images in another digit's paint are read right")


if __name__ == "__main__":
    main()
