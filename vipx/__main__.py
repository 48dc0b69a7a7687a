"""`python -m vipx` is `vipx`."""

from vipx.cli import main

if __name__ == "__main__":
    main(prog_name="vipx")
