"""How long a person waits for the first sign of life: the best of five, warm.

python benchmarks/start.py
"""

import subprocess
import sys
import time

COMMANDS = {
    "import unbraid (at most 0.3 s beyond the interpreter)": ["-c", "import unbraid"],
    "unbraid --help (at most 1 s)": ["-m", "unbraid", "--help"],
    "unbraid list methods": ["-m", "unbraid", "list", "methods"],
    "unbraid train dcodr --help": ["-m", "unbraid", "train", "dcodr", "--help"],
    "from unbraid import audit": ["-c", "from unbraid import audit"],
}


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    bare = min(seconds(["-c", "pass"]) for _ in range(5))
    print(f"{bare:6.2f} s  the interpreter alone")
    for name, words in COMMANDS.items():
        print(f"{min(seconds(words) for _ in range(5)):6.2f} s  {name}")


if __name__ == "__main__":
    main()
