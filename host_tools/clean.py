"""Removes what make has built, and nothing a person wrote: `python3 host_tools/clean.py`."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = (".venv", ".lib", ".run", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


def clean(root: Path) -> list[str]:
    """Removes the built folders below `root`; returns their names, for the reader."""
    removed = []
    for name in BUILT:
        if (root / name).is_symlink():  # someone's own folder: drop the link, keep what it names
            (root / name).unlink()
            removed.append(name)
        elif (root / name).is_dir():
            shutil.rmtree(root / name)
            removed.append(name)
    for cache in sorted(root.rglob("__pycache__")):
        shutil.rmtree(cache)
    return removed


def main() -> None:
    removed = clean(ROOT)
    print("removed " + ", ".join(removed) if removed else "nothing to remove")


if __name__ == "__main__":
    main()
