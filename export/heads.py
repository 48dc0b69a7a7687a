"""The graph `heads.onnx`: patches and texts in; score, patch map and anomaly map out."""

from torch import nn


class Heads(nn.Module):
    """What a method's heads look like to the export; always float32.

    `patch_features [B,L,N,D], text_embeddings [B,T,D]` and, where the image is scored by it,
    `global_feature [B,D] -> score [B], patch_map [B,h,w], anomaly_map [B,H,W]`, all in [0, 1].

    Attributes:
        inputs: Names of the arguments, in order.
        folds: Names of the folds that were applied.
    """

    inputs: tuple[str, ...]
    folds: tuple[str, ...]
