"""Prints the Makefile's targets with what each does: `python3 host_tools/targets.py`."""

import re
from pathlib import Path

MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"


def targets(makefile: str) -> dict[str, str]:
    """Returns target -> its text after `##`, in the file's order."""
    return dict(re.findall(r"^([a-z]+):.*?## (.+)$", makefile, re.MULTILINE))


def main() -> None:
    found = targets(MAKEFILE.read_text("utf-8"))
    width = max(map(len, found))
    for name, text in found.items():
        print(f"make {name:<{width}}  {text}")


if __name__ == "__main__":
    main()
