"""`vipx client`: posts pictures to a server and prints its verdicts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import JSON, PATH
from vipx.console import print_json, warn

if TYPE_CHECKING:
    from vipx.images import ListedImage
    from vipx.runtime.server.client import Connection

_TOKEN_VARIABLE = "VIPX_TOKEN"


@click.command()
@click.argument("url")
@click.argument("images", type=PATH, nargs=-1, required=True)
@click.option("--recipe", help="Whose thresholds judge; needed where the server has several.")
@click.option("--maps", type=PATH, help="Folder for heat maps as PNG.")
@click.option("--token-file", type=PATH, help=f"File with the server's token [${_TOKEN_VARIABLE}].")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds."
)
@click.option("--fail-on-ng", is_flag=True, help="Exit with 10 if any part is NG.")
@JSON
def client(
    url: str,
    images: tuple[Path, ...],
    recipe: str | None,
    maps: Path | None,
    token_file: Path | None,
    timeout: float,
    fail_on_ng: bool,
    as_json: bool,
) -> None:
    """Post IMAGES (files or folders) to the server at URL; print the verdict of each.

    The name of each file is its part's. A picture that the server refuses is told, and the others are posted
    all the same; the exit code is 3 then, and 5 where the server did not answer.
    """
    from vipx.images import list_images
    from vipx.runtime.server.client import Connection

    listing = list_images(images)
    if maps is not None:
        maps.mkdir(parents=True, exist_ok=True)
    with Connection(url, _token(token_file), timeout) as connection:
        rows = list(_rows(connection, listing.images, recipe, maps, as_json))
    if any(row["verdict"] == "ERROR" and row.get("status") in (0, 503) for row in rows):
        raise SystemExit(5)
    if any(row["verdict"] == "ERROR" for row in rows):
        raise SystemExit(3)
    if fail_on_ng and any(row["verdict"] == "NG" for row in rows):
        raise SystemExit(10)


def _rows(
    connection: "Connection",
    listed: "tuple[ListedImage, ...]",
    recipe: str | None,
    maps: Path | None,
    as_json: bool,
) -> Iterator[dict[str, Any]]:
    from vipx.files import write_atomically

    for image in listed:
        answer = connection.inspect(image.path, recipe, with_map=maps is not None)
        if maps is not None and answer.heat_map is not None:
            name = "__".join(image.relative.parts)
            write_atomically(maps / f"{name}.png", answer.heat_map)
        row = {"path": str(image.path), **answer.record}
        _tell(row, as_json)
        yield row


def _tell(row: dict[str, Any], as_json: bool) -> None:
    if row["verdict"] == "ERROR":
        warn(f"error: {row['path']}: {row['reason']}")
    if as_json:
        print_json(row)
        return
    score = row.get("anomaly_score")
    shown = "-" if score is None else f"{score:.4f}"
    click.echo(f"{row['verdict']:6}  {shown:>6}  {row['path']}")


def _token(path: Path | None) -> str | None:
    import os

    from vipx.errors import InputError

    if path is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the token cannot be read ({error})") from error
