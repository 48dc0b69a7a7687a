"""CLIP weights from a file or from open_clip, as one open_clip model in float32."""

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vipx.errors import CheckpointError, UsageError, short_reason

StateDict = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class LoadedClip:
    """A CLIP model, and what identifies its weights.

    `model` is float32, in eval mode and frozen. `name` is for people. `sha256` is taken over the float32
    parameters, so that the same weights are the same in every file format.
    """

    model: nn.Module
    name: str
    sha256: str


def clip_from_file(path: Path, *, architecture: str | None = None) -> LoadedClip:
    """Load CLIP weights from OpenAI's JIT archive, a plain state dict or a safetensors file.

    Args:
        path: The file. Pickles are read by torch's restricted unpickler: code in them never runs.
        architecture: An open_clip model name. Without it the weights must be in OpenAI's layout, from whose
            shapes the architecture follows (heads are 64 wide, the activation is QuickGELU).

    Raises:
        CheckpointError: The file is missing, unreadable, or not what `architecture` expects.
    """
    state = _state_dict_from_file(path)
    model = _create(architecture) if architecture else _openai_model(state, path)
    _load(model, state, path)
    return LoadedClip(_frozen(model), architecture or path.name, parameters_sha256(model))


def clip_from_open_clip(name: str, tag: str | None) -> LoadedClip:
    """Load open_clip's model `name` with its own weights `tag`, downloading them where needed.

    Without a tag the weights are random: useful only to measure speed, and named so.

    Raises:
        UsageError: open_clip knows no such model or tag.
        CheckpointError: The weights could not be downloaded.
    """
    _check_known(name)
    model = _create(name) if tag is None else _pretrained(name, tag)
    return LoadedClip(_frozen(model), f"{name}/{tag or 'random'}", parameters_sha256(model))


def parameters_sha256(model: nn.Module) -> str:
    """Hash names, shapes and bytes of all parameters in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_pickle(path: Path) -> object:
    """Read a torch pickle with the restricted unpickler; anything but tensors and plain data is refused.

    Raises:
        CheckpointError: The file is missing, broken, or holds objects that could run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; give the path of a checkpoint") from None
    except Exception as error:
        # torch raises a dozen types here; each means that the file is not plain tensors.
        reason = short_reason(error)
        raise CheckpointError(
            f"{path}: not a plain file of tensors ({type(error).__name__}: {reason}); "
            "objects that could run code are never loaded: save the state dict alone"
        ) from error


def _state_dict_from_file(path: Path) -> StateDict:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the file of the backbone's weights")
    if path.suffix == ".safetensors":
        return _dense_token_embedding(_read_safetensors(path))
    if _is_jit_archive(path):
        return _read_jit_archive(path)
    return _plain_state_dict(read_pickle(path), path)


def _read_safetensors(path: Path) -> StateDict:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}); copy it again") from error


def _is_jit_archive(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read_jit_archive(path: Path) -> StateDict:
    # TorchScript has its own sandboxed reader: no Python in the archive is run.
    try:
        with warnings.catch_warnings():
            # torch deprecates TorchScript; OpenAI's archives remain what they are.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        reason = short_reason(error)
        raise CheckpointError(f"{path}: broken TorchScript archive ({reason})") from error
    return {name: value.detach() for name, value in module.state_dict().items()}


def _plain_state_dict(loaded: object, path: Path) -> StateDict:
    """Unwrap the `state_dict` and `module.` that training programs add."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError(
            f"{path}: expected a state dict of tensors, got {type(loaded).__name__}"
        )
    return {str(name).removeprefix("module."): value for name, value in loaded.items()}


def _dense_token_embedding(state: StateDict) -> StateDict:
    """Expand a token table stored as its rows that are not zero (`.ids`, `.rows`).

    Prompts use five of CLIP's 49408 rows, so small published test weights leave the others out.
    """
    if "token_embedding.rows" not in state:
        return state
    rows, ids = state["token_embedding.rows"], state["token_embedding.ids"]
    table = rows.new_zeros(open_clip.tokenizer.SimpleTokenizer().vocab_size, rows.shape[1])
    table[ids] = rows
    kept = {name: value for name, value in state.items() if not name.startswith("token_embedding.")}
    return kept | {"token_embedding.weight": table}


def _openai_model(state: StateDict, path: Path) -> nn.Module:
    try:
        return open_clip.CLIP(**_openai_configuration(state), quick_gelu=True)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path}: not in the layout of OpenAI's CLIP ViT (missing {error}); "
            "name the architecture with --backbone"
        ) from error


def _openai_configuration(state: StateDict) -> dict[str, Any]:
    """Read widths, depths and sizes from the shapes of OpenAI's state dict."""
    width, _, patch, _ = state["visual.conv1.weight"].shape
    grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    context, text_width = state["positional_embedding"].shape
    vision = CLIPVisionCfg(
        layers=_depth(state, "visual.transformer.resblocks."),
        width=width,
        patch_size=patch,
        image_size=patch * grid,
    )
    text = CLIPTextCfg(
        context_length=context,
        vocab_size=state["token_embedding.weight"].shape[0],
        width=text_width,
        heads=text_width // 64,
        layers=_depth(state, "transformer.resblocks."),
    )
    embed_dim = state["text_projection"].shape[1]
    return {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}


def _depth(state: StateDict, prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _load(model: nn.Module, state: StateDict, path: Path) -> None:
    not_weights = {
        "input_resolution",
        "context_length",
        "vocab_size",
        "attn_mask",
        "visual.attn_mask",
    }
    weights = {name: value.float() for name, value in state.items() if name not in not_weights}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = short_reason(error, 240)
        raise CheckpointError(
            f"{path}: the weights do not fit the architecture: {reason}"
        ) from error


def _check_known(name: str) -> None:
    if name not in open_clip.list_models():
        raise UsageError(
            f"--backbone {name}: open_clip has no such model; see open_clip.list_models()"
        )


def _create(name: str) -> nn.Module:
    _check_known(name)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # open_clip warns that weights are random, as they are to be
    try:
        return open_clip.create_model(name, pretrained=None, load_weights=False, precision="fp32")
    finally:
        logging.disable(disabled)


def _pretrained(name: str, tag: str) -> nn.Module:
    known = open_clip.list_pretrained_tags_by_model(name)
    if tag not in known:
        offered = ", ".join(known) or "none"
        raise UsageError(
            f"--pretrained {tag}: open_clip has no such weights for {name} (it has: {offered})"
        )
    try:
        return open_clip.create_model(name, pretrained=tag, precision="fp32")
    except Exception as error:
        reason = short_reason(error)
        raise CheckpointError(
            f"weights {tag} of {name} could not be downloaded ({type(error).__name__}: {reason}); "
            "download them elsewhere and give --backbone-weights FILE"
        ) from error


def _frozen(model: nn.Module) -> nn.Module:
    return model.float().eval().requires_grad_(False)
