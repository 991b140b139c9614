"""Let `python -m upstroke` be the command `upstroke`."""

from upstroke.cli import main

if __name__ == "__main__":
    main()
