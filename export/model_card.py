"""The model card of a bundle: what a person must know before the bundle decides about parts."""

from vipx.manifest import DriftRecord, Manifest

_NOTES = {
    "vip2clip": (
        "The published training code writes the abnormal word into both prompts; `normal_word` says what this "
        "checkpoint holds.",
    ),
    "tokenclip": (
        "This is TokenCLIP-R, a reconstruction from what is publicly known of TokenCLIP (arXiv 2510.21171). "
        "Its numbers are not the paper's.",
    ),
}


def model_card(manifest: Manifest) -> str:
    """Write the card as Markdown, from the manifest alone."""
    method, backbone, size = manifest.method, manifest.backbone, manifest.input
    parity = "\n".join(
        f"| {p.precision} | {d.output} | {d.statistic} | {d.run} | {d.measured:.2e} | {d.bound:.0e} |"
        for p in manifest.parity
        for d in p.differences
    )
    settings = "\n".join(f"| {name} | {value} |" for name, value in method.config.items())
    texts = "made from each image" if method.conditioned else "the same for every image"
    drift = "" if manifest.drift is None else _drift(manifest.drift)
    notes = "".join(f"- {note}\n" for note in _NOTES[method.name])
    return f"""# {manifest.name}

A vipx bundle: {method.name} ({method.preset}) as ONNX graphs, made by vipx {manifest.vipx_version} on
{manifest.created}. Verify it with `vipx show` or `sha256sum --check manifest.sha256`.

- Input: RGB bytes [batch, {size.height}, {size.width}, 3]; images are resized with Pillow's bicubic filter.
- Output: score in [0, 1] (higher is more anomalous), patch map {size.rows}x{size.columns}, anomaly map
  {size.height}x{size.width}. No threshold is inside; a verdict needs one, found on good parts of the product.
- Backbone: {backbone.name}, sha256 of its parameters `{backbone.sha256}`, {backbone.activation},
  features of blocks {", ".join(map(str, method.feature_layers))}.
- Checkpoint: {manifest.checkpoint.format} format, sha256 `{manifest.checkpoint.sha256}`.
  {manifest.checkpoint.notes}
- Texts: {texts}; map smoothed with sigma {method.sigma} px.
{notes}
## Settings of the method

| setting | value |
|---|---|
{settings}

## What was measured at export

Every graph was run by {manifest.parity[0].runtime} on the golden images and compared with the unfolded PyTorch
model; absolute differences.

| encoder | output | statistic | run | measured | bound |
|---|---|---|---|---|---|
{parity}
{drift}
Whether the model finds the defects of *your* parts was not measured: try it on parts you know.

## Licences

The graphs contain the weights of the backbone and of the checkpoint, under their own licences, which vipx does
not change. Weights trained on MVTec AD come from data under CC BY-NC-SA 4.0, which excludes commercial use:
train on data that allows it before you inspect for money. Ask a lawyer, not this file.
"""


def _drift(drift: DriftRecord) -> str:
    """Say what INT8 changed on pictures of the product."""
    auroc = "not known: the folders' names do not tell good pictures from bad ones"
    if drift.auroc_fp32 is not None and drift.auroc_int8 is not None:
        auroc = f"{100 * drift.auroc_fp32:.2f} in float32, {100 * drift.auroc_int8:.2f} in INT8"
    return f"""
INT8 against float32 on {drift.images} pictures of the product that no range was taken from ({drift.runtime}):
correlation of the maps {drift.map_correlation:.5f}; scores differ by {drift.score_mean:.1e} in the mean and
{drift.score_most:.1e} at most; image AUROC {auroc}.
"""
