"""The command line of Force Majeure."""

from __future__ import annotations

import sys


def main() -> None:
    """`fm …`"""
    sys.exit("fm: no command yet")


if __name__ == "__main__":
    main()
