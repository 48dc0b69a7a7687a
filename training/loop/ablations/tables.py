"""What each row of an ablation changes in a run's settings (ViP2-CLIP, arXiv 2505.17692)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from pydantic import JsonValue

from vipx.errors import UsageError
from vipx.training.loop.settings.configuration import Settings

ALL_MODULES = "UTPA, ICA, FGP"
TOP_KS = (1, 10, 20, 50, 100, 200)
STATE_WORDS = (
    ("good", "damaged", "Good/Damage"),
    ("normal", "abnormal", "Normal/Abnormal"),
    ("perfect", "flawed", "Perfect/Flawed"),
    ("flawless", "imperfect", "Flawless/Imperfect"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One run: a name that may be a folder's, the settings that it changes, and the paper's name for it."""

    name: str
    changes: Mapping[str, JsonValue]
    printed: str = ""


def module_rows(settings: Settings) -> list[Row]:
    """Table 4: which of ICA, FGP and UTPA there are.

    Without ICA the prompts are learned, but the same for every image; without UTPA the global feature makes the
    image's score; with none the prompts are written and nothing is learned.
    """
    config = settings.method.config
    rows = [
        Row(
            "none",
            {
                "method.prompts": "written",
                "method.fgp": False,
                "method.image_score": "global",
            },
            "none",
        )
    ]
    for ica, fgp, utpa in product((False, True), repeat=3):
        parts = [name for name, there in (("ica", ica), ("fgp", fgp), ("utpa", utpa)) if there]
        changes: dict[str, JsonValue] = {
            "method.prompts": "conditioned" if ica else "learned",
            "method.fgp": fgp,
            "method.image_score": _utpa_score(config.image_score) if utpa else "global",
        }
        if parts:
            rows.append(Row("-".join(parts), changes, ALL_MODULES if len(parts) == 3 else ""))
    return rows


def score_rows(settings: Settings) -> list[Row]:
    """Table 5: the image's score by the global feature, or by the most anomalous patches."""
    static: dict[str, JsonValue] = {"method.prompts": "learned", "method.fgp": False}
    utpa = _utpa_score(settings.method.config.image_score)
    return [
        Row("dual", {**static, "method.image_score": "global"}, "CLIP_DUAL"),
        Row("utpa", {**static, "method.image_score": utpa}, "CLIP_UTPA"),
    ]


def word_rows(settings: Settings) -> list[Row]:
    """Table 6: the state words of both prompts."""
    return [
        Row(
            f"{normal}-{abnormal}",
            {"method.normal_word": normal, "method.abnormal_word": abnormal},
            printed,
        )
        for normal, abnormal, printed in STATE_WORDS
    ]


def layer_rows(settings: Settings) -> list[Row]:
    """Figure 5: each feature layer alone, then the first two, three and so on."""
    layers = settings.vision.feature_layers
    choices = [
        *((layer,) for layer in layers),
        *(layers[:count] for count in range(2, len(layers) + 1)),
    ]
    return [
        Row(
            "layers-" + "-".join(map(str, chosen)),
            {"vision.feature_layers": list(chosen)},
        )
        for chosen in choices
    ]


def top_k_rows(settings: Settings) -> list[Row]:
    """Figure 6: how many patches of each layer make the image's score."""
    return [Row(f"top-{k}", {"method.top_k": k}) for k in TOP_KS]


ABLATIONS: Mapping[str, Callable[[Settings], list[Row]]] = MappingProxyType(
    {
        "table4": module_rows,
        "table5": score_rows,
        "table6": word_rows,
        "figure5": layer_rows,
        "figure6": top_k_rows,
    }
)


def ablation_rows(name: str, settings: Settings) -> list[Row]:
    """Give the rows of an ablation for a run.

    Raises:
        UsageError: There is no such ablation, or the method is not the one that it takes apart.
    """
    if name not in ABLATIONS:
        raise UsageError(f"--ablation {name}: there are {', '.join(ABLATIONS)}")
    if settings.method.name != "vip2clip":
        raise UsageError(f"--ablation {name} takes vip2clip apart, not {settings.method.name}")
    return ABLATIONS[name](settings)


def _utpa_score(chosen: str) -> str:
    return "official" if chosen == "global" else chosen
