"""Reads the published ViP2-CLIP checkpoint: a pickle of two state dicts, without CLIP."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vipx.errors import CheckpointError, short_reason
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.weights import read_pickle

State = Mapping[str, Tensor]
_FGP_NAMES = {
    "query": "q_proj_pre",
    "key": "k_proj_pre_1",
    "value": "v_proj_pre_1",
    "output": "proj_post_t",
}


def method_from_published(path: Path, config: Vip2ClipConfig) -> Vip2Clip:
    """Read a published `.pth`; token counts and widths follow from its shapes.

    Args:
        path: The pickle; read with torch's restricted unpickler.
        config: Scoring choices, which the file does not hold.

    Raises:
        CheckpointError: The file is not such a checkpoint.
    """
    learned, fgp = _parts(read_pickle(path), path)
    try:
        return _method(learned, fgp, config)
    except KeyError as error:
        raise CheckpointError(
            f"{path}: not a published ViP2-CLIP checkpoint: {error} is missing"
        ) from error
    except (RuntimeError, IndexError, ValueError) as error:
        reason = short_reason(error)
        raise CheckpointError(f"{path}: shapes do not fit ViP2-CLIP: {reason}") from error


def _parts(loaded: object, path: Path) -> tuple[State, State]:
    parts = []
    for name in ("prompt_learner", "Zero_try"):
        part = loaded.get(name) if isinstance(loaded, Mapping) else None
        if not isinstance(part, Mapping) or not all(isinstance(v, Tensor) for v in part.values()):
            raise CheckpointError(
                f"{path}: not a published ViP2-CLIP checkpoint: it has no state dict {name!r}"
            )
        parts.append(
            {
                key: value.float() if value.is_floating_point() else value
                for key, value in part.items()
            }
        )
    return parts[0], parts[1]


def _method(learned: State, fgp: State, config: Vip2ClipConfig) -> Vip2Clip:
    config = replace(
        config,
        context_tokens=learned["ctx_pos"].shape[0],
        class_tokens=learned["cls_ctx"].shape[0],
        meta_net_width=learned["cls_prompter.fc.0.0.weight"].shape[0],
        normal_word=_normal_word(learned),
    )
    dim = learned["cls_prompter.fc.0.0.weight"].shape[1]
    state = _renamed(learned, fgp, config) | {"ica.template": _template(learned, config)}
    return Vip2Clip.restored(config, dim, state)


def _normal_word(learned: State) -> str:
    """Say which word the normal prompt holds: the published code gave both prompts the abnormal one."""
    same = torch.equal(learned["token_middle_pos"], learned["token_middle_neg"])
    return "damaged" if same else "good"


def _template(learned: State, config: Vip2ClipConfig) -> Tensor:
    states = []
    for state in ("pos", "neg"):
        prefix, middle, suffix = (
            learned[f"token_{part}_{state}"][0] for part in ("prefix", "middle", "suffix")
        )
        context = prefix.new_zeros(config.context_tokens, prefix.shape[1])
        tokens = prefix.new_zeros(config.class_tokens, prefix.shape[1])
        states.append(torch.cat([prefix, context, middle, tokens, suffix]))
    return torch.stack(states)  # (2, positions, width)


def _renamed(learned: State, fgp: State, config: Vip2ClipConfig) -> dict[str, Tensor]:
    state = {
        "ica.class_context": learned["cls_ctx"],
        "ica.context": torch.stack([learned["ctx_pos"], learned["ctx_neg"]]),
        "ica.meta_net.bias": learned["cls_prompter.bias"],
        "fgp.unused_temperature": fgp["prompt_temp_l1"],
    }
    for token in range(config.class_tokens):
        for layer in ("0.weight", "0.bias", "2.weight", "2.bias"):
            state[f"ica.meta_net.mlps.{token}.{layer}"] = learned[
                f"cls_prompter.fc.{token}.{layer}"
            ]
    for ours, theirs in _FGP_NAMES.items():
        state[f"fgp.{ours}.weight"] = fgp[f"{theirs}.weight"].squeeze(-1)
        state[f"fgp.{ours}.bias"] = fgp[f"{theirs}.bias"]
    return state
