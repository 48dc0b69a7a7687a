"""`vipx serve-local`: the inspection server on the line's PC."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vipx.commands.options import JSON, PATH, PRECISION, engine_options
from vipx.console import needs, print_json, warn

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.runtime.engines.engine import EngineOptions
    from vipx.runtime.server.peers.making import Configured
    from vipx.runtime.server.running import LineServer
    from vipx.runtime.server.settings import KeepMaps, ServerSettings
    from vipx.runtime.server.storage.settings import StorageSettings
    from vipx.runtime.server.work.recipes import LoadedRecipe

_TOKEN_VARIABLE = "VIPX_TOKEN"
_PASSWORD_FILE = "engineer.scrypt"


@dataclass(frozen=True, slots=True)
class _Network:
    """The options that say where the server is and whom it answers."""

    host: str
    port: int
    allow_host: tuple[str, ...]
    token_file: Path | None
    keep_maps: "KeepMaps"
    timeout_ms: int


@click.command("serve-local")
@click.argument("bundle", type=PATH, required=False)
@click.option(
    "--recipe",
    "recipes",
    type=PATH,
    multiple=True,
    help="A product's recipe; its file name is the model's name. Several share the bundle.",
)
@click.option("--threshold", type=float, help="Without recipes: scores from here on are NG.")
@click.option("--review", type=float, help="Without recipes: scores from here on are REVIEW.")
@click.option(
    "--config",
    type=PATH,
    help="TOML with folders, cameras, webhooks, other sinks and storage rules: docs/server/io.md.",
)
@click.option(
    "--data",
    type=PATH,
    default=Path("vipx-data"),
    show_default=True,
    help="Folder for results; made if it is not there.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A name by which clients reach the server; needed off loopback.",
)
@click.option(
    "--token-file",
    type=PATH,
    help=f"File with the clients' token; needed off loopback [${_TOKEN_VARIABLE}].",
)
@click.option(
    "--keep-maps",
    type=click.Choice(["none", "not-ok", "all"]),
    default="not-ok",
    show_default=True,
    help="Of which results the heat map is stored.",
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(1, 60_000),
    default=500,
    show_default=True,
    help="Longest wait of an image for the engine.",
)
@click.option(
    "--queue",
    type=click.IntRange(1, 1024),
    default=16,
    show_default=True,
    help="Most images that wait; more are answered with 503.",
)
@click.option(
    "--fallback-cpu", is_flag=True, help="Let the CPU answer if the engine keeps failing."
)
@click.option("--stop-unless-stored", is_flag=True, help="Answer no part that cannot be stored.")
@click.option("--latch", is_flag=True, help="Keep an NG on the Live screen until acknowledged.")
@PRECISION
@engine_options
@click.option(
    "--set-engineer-password",
    is_flag=True,
    help=f"Ask for the engineer's password, write DATA/{_PASSWORD_FILE}, and end.",
)
@JSON
def serve_local(
    bundle: Path | None,
    recipes: tuple[Path, ...],
    threshold: float | None,
    review: float | None,
    config: Path | None,
    data: Path,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    token_file: Path | None,
    keep_maps: "KeepMaps",
    timeout_ms: int,
    queue: int,
    fallback_cpu: bool,
    stop_unless_stored: bool,
    latch: bool,
    precision: "Precision | None",
    options: "EngineOptions",
    set_engineer_password: bool,
    as_json: bool,
) -> None:
    """Inspect pictures that arrive over HTTP with BUNDLE, show them, and keep what happened.

    Answers on this machine alone unless --host, --allow-host and a token say otherwise. SIGTERM and Ctrl-C
    answer what was accepted, and end with exit code 0.
    """
    if set_engineer_password:
        _set_password(data)
        return
    if bundle is None:
        raise click.UsageError("Missing argument 'BUNDLE'.")
    with needs("cpu,serve"):
        import asyncio

        from vipx.runtime.server.heap import FRONT, bound_heap
        from vipx.runtime.server.running import LineServer, run_until_told
        from vipx.runtime.server.work.settings import Bounds, WorkSettings
    loaded = _recipes(bundle, recipes, threshold, review)
    line = _configured(config, [one.name for one in loaded], data, stop_unless_stored)
    network = _network(_Network(host, port, allow_host, token_file, keep_maps, timeout_ms), data)
    server = LineServer(
        network=network,
        work=WorkSettings(
            bundle=bundle,
            recipes=loaded,
            options=options,
            precision=precision,
            fallback=_cpu(options) if fallback_cpu else None,
            bounds=Bounds(queue=queue),
        ),
        storage=line.storage,
        latch=latch,
        shown=_shown(network, bundle, line.storage) | _shown_config(config),
        peers=line.peers,
    )
    _tell_what_is_open(server)
    bound_heap(FRONT)
    asyncio.run(run_until_told(server, lambda url, engine: _tell_ready(url, engine, as_json)))


def _configured(
    config: Path | None, recipes: list[str], data: Path, stop_unless_stored: bool
) -> "Configured":
    """Make what the configuration file names; the option makes storing mandatory whatever the file says."""
    from dataclasses import replace

    from vipx.runtime.server.peers.making import Configured, LinePeers, configured
    from vipx.runtime.server.storage.settings import StorageSettings

    if config is None:
        made = Configured(LinePeers(), StorageSettings(data))
    else:
        made = configured(config, recipes, data, warn)
    if not stop_unless_stored:
        return made
    return replace(made, storage=replace(made.storage, on_error="stop"))


def _network(given: _Network, data: Path) -> "ServerSettings":
    from vipx.runtime.server.app.safety.passwords import check_line
    from vipx.runtime.server.peers.secrets import secret_of_file
    from vipx.runtime.server.settings import ServerSettings

    kept, line = data / _PASSWORD_FILE, None
    if kept.exists():
        line = secret_of_file(kept, "password", warn)
    token = os.environ.get(_TOKEN_VARIABLE) or None
    if given.token_file is not None:
        token = secret_of_file(given.token_file, "token", warn)
    return ServerSettings(
        host=given.host,
        port=given.port,
        hosts=given.allow_host,
        token=token,
        engineer=None if line is None else check_line(line),
        deadline_s=given.timeout_ms / 1000,
        keep_maps=given.keep_maps,
    )


def _recipes(
    bundle: Path, paths: tuple[Path, ...], threshold: float | None, review: float | None
) -> "tuple[LoadedRecipe, ...]":
    from vipx.errors import UsageError
    from vipx.recipe import read_recipe
    from vipx.runtime.server.work.recipes import LoadedRecipe

    if not paths:
        return (LoadedRecipe(bundle.resolve().stem, None, threshold, review),)
    if threshold is not None or review is not None:
        raise UsageError("--threshold and --review: the recipes say this; leave them out")
    return tuple(LoadedRecipe(path.stem, read_recipe(path)) for path in paths)


def _cpu(options: "EngineOptions") -> "EngineOptions":
    from vipx.runtime.engines.engine import EngineOptions

    return EngineOptions("onnxruntime", "cpu", options.threads)


def _set_password(data: Path) -> None:
    from vipx.files import write_atomically
    from vipx.runtime.server.app.safety.passwords import hash_password

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    line = hash_password(password)
    data.mkdir(parents=True, exist_ok=True)
    path = data / _PASSWORD_FILE
    previous = os.umask(0o077)
    try:
        write_atomically(path, f"{line}\n".encode())
    finally:
        os.umask(previous)
    warn(f"{path}: written; restart the server to use it")


def _shown_config(config: Path | None) -> dict[str, str]:
    return {"configuration": "none" if config is None else str(config.resolve())}


def _shown(network: "ServerSettings", bundle: Path, storage: "StorageSettings") -> dict[str, str]:
    must = storage.on_error == "stop"
    return {
        "bundle": str(bundle),
        "data": str(storage.folder.resolve()),
        "a part that cannot be stored": "gets no verdict" if must else "is answered all the same",
        "listens on": f"{network.host}:{network.port}",
        "token": "asked for" if network.token else "not asked for",
        "engineer": "has a password" if network.engineer else "no password is set",
    }


def _tell_what_is_open(server: "LineServer") -> None:
    if server.network.engineer is None:
        warn("no engineer's password is set: thresholds cannot be changed on the page")
    if all(one.recipe is None and one.threshold is None for one in server.work.recipes):
        warn("no recipe and no threshold were given: every verdict is REVIEW")


def _tell_ready(url: str, engine: str, as_json: bool) -> None:
    if as_json:
        print_json({"url": url, "engine": engine, "pid": os.getpid()})
    else:
        click.echo(url)
        warn(f"ready: {engine}; Ctrl-C ends it")
