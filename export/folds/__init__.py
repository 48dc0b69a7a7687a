"""The exact folds, in the order in which an export applies them; one fold is one file."""

from vipx.export.folds.attention import AttentionFold
from vipx.export.folds.camera import CameraFold
from vipx.export.folds.fgp import FgpFold
from vipx.export.folds.gram import GramFold
from vipx.export.folds.layer_norm import LayerNormFold
from vipx.export.folds.layer_scale import LayerScaleFold
from vipx.export.folds.meta_net import MetaNetFold
from vipx.export.folds.pixels import PixelFold
from vipx.export.folds.quick_gelu import QuickGeluFold
from vipx.export.folds.sinkhorn import SinkhornFold
from vipx.export.folds.text_prefix import TextPrefixFold
from vipx.export.folds.two_class import TwoClassFold
from vipx.export.folds.upsample import UpsampleFold

BLOCK_FOLDS = (LayerScaleFold(), LayerNormFold(), AttentionFold(), QuickGeluFold())
ENCODER_FOLDS = (PixelFold(), *BLOCK_FOLDS)
PROMPT_FOLDS = (MetaNetFold(), TextPrefixFold())
HEADS_FOLDS = (FgpFold(), TwoClassFold(), SinkhornFold(), GramFold(), UpsampleFold())
FOLDS = (CameraFold(), *ENCODER_FOLDS, *PROMPT_FOLDS, *HEADS_FOLDS)

__all__ = ["BLOCK_FOLDS", "ENCODER_FOLDS", "FOLDS", "HEADS_FOLDS", "PROMPT_FOLDS"]
