"""Every fold is an equality: folded and unfolded modules agree in float64, whatever the shapes."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import ica_of, tiny_backbone, tiny_config, tiny_ica, tiny_method
from vipx.errors import GateError, UsageError
from vipx.export.blocks import Block, unit
from vipx.export.encoder import Encoder, folded_block
from vipx.export.folds import BLOCK_FOLDS, FOLDS
from vipx.export.folds.fgp import FgpFold
from vipx.export.folds.fold import BOUND, Fold, relative_difference
from vipx.export.folds.layer_norm import LayerNormFold
from vipx.export.folds.meta_net import MetaNetFold
from vipx.export.folds.pixels import PatchEmbedding, PixelFold
from vipx.export.folds.quick_gelu import QuickGeluFold
from vipx.export.folds.text_prefix import PromptEncoder, TextPrefixFold
from vipx.export.folds.two_class import TwoClassFold
from vipx.export.folds.upsample import UpsampleFold, Upsampling
from vipx.export.prompts import Prompts, prompt_encoder
from vipx.export.vip2clip_heads import Vip2ClipHeads
from vipx.training.methods.scoring import ABNORMAL, Alignment, anomaly_map, upsampled_probabilities
from vipx.training.methods.vip2clip import utpa
from vipx.training.methods.vip2clip.fgp import FGP
from vipx.training.methods.vip2clip.ica import ICA
from vipx.training.model.vision import VisionOptions

folding = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
seeds = st.integers(0, 2**16)
batches = st.integers(1, 3)
head_counts = st.sampled_from([1, 2, 4])
grids = st.tuples(st.integers(1, 7), st.integers(1, 9))


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randomise(module: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        value.data.copy_(
            torch.randn(value.shape, generator=generator) * value.shape[-1] ** -0.5
            if value.ndim
            else value
        )


@folding
@given(
    seed=seeds,
    heads=head_counts,
    width=st.sampled_from([16, 32, 48]),
    tokens=st.integers(1, 9),
    batch=batches,
    quick=st.booleans(),
    layer_scale=st.sampled_from([None, 0.3]),
)
def test_block_folds_change_nothing(
    seed: int,
    heads: int,
    width: int,
    tokens: int,
    batch: int,
    quick: bool,
    layer_scale: float | None,
) -> None:
    backbone = tiny_backbone(
        VisionOptions(16, 16, (1,)),
        width=width,
        heads=heads,
        layers=1,
        quick_gelu=quick,
        layer_scale=layer_scale,
        seed=seed,
    )
    source = backbone.vision.visual.transformer.resblocks[0]
    x = draw(seed, batch, tokens, width)
    block = Block(source)
    expected = source.double()(x)
    assert relative_difference(expected, block(x)) <= BOUND
    for fold in BLOCK_FOLDS:
        block = fold(block)
        assert relative_difference(expected, block(x)) <= BOUND, fold.name
    mask = torch.full((tokens, tokens), float("-inf"), dtype=torch.float64).triu(1)
    assert relative_difference(Block(source)(x, mask), block(x, mask)) <= BOUND


def test_folded_blocks_hold_nothing_that_was_folded_away() -> None:
    source = tiny_backbone().vision.visual.transformer.resblocks[0]
    block = folded_block(source)
    assert block.key.bias is None
    assert block.value.bias is None
    assert block.scale == 1
    assert block.activation == "silu"
    assert bool((block.norm_1.weight == 1).all())
    assert bool((block.norm_1.bias == 0).all())
    assert Block(source).key.bias is not None, "the source must stay as it was"


@folding
@given(seed=seeds, grid=grids, patch=st.sampled_from([1, 3, 4]), batch=batches)
def test_pixel_normalisation_folds_into_the_patch_embedding(
    seed: int, grid: tuple[int, int], patch: int, batch: int
) -> None:
    width, (rows, columns) = 6, grid
    source = PatchEmbedding(
        weight=draw(seed, width, 3, patch, patch + 1),
        class_token=draw(seed + 1, width),
        table=draw(seed + 2, 1 + rows * columns, width),
        pixel_mean=draw(seed + 3, 3).abs(),
        pixel_deviation=draw(seed + 4, 3).abs() + 0.1,
        grid=grid,
    )
    pixels = (
        (draw(seed + 5, batch, 3, rows * patch, columns * (patch + 1)) * 80).clamp(0, 255).round()
    )
    assert relative_difference(source(pixels), PixelFold()(source)(pixels)) <= BOUND


def test_the_patch_embedding_before_folding_is_the_backbones() -> None:
    backbone = tiny_backbone()
    image = torch.randint(0, 256, (2, 24, 40, 3), dtype=torch.uint8)
    source = PatchEmbedding.of(backbone)
    norm = backbone.vision.visual.ln_pre
    embedded = norm.double()(source(image.permute(0, 3, 1, 2).double()))
    norm.float()
    expected = backbone.vision.embed(backbone.normalise(image)).double()
    assert relative_difference(expected, embedded) <= 1e-5


@folding
@given(
    seed=seeds,
    batch=batches,
    context=st.integers(1, 9),
    tokens=st.integers(1, 4),
    layers=st.integers(1, 3),
)
def test_text_prefix_folds_into_cached_keys_and_values(
    seed: int, batch: int, context: int, tokens: int, layers: int
) -> None:
    backbone = tiny_backbone(text_layers=layers, seed=seed)
    ica = tiny_ica(backbone, seed, context_tokens=context, class_tokens=tokens)
    blocks = tuple(folded_block(b) for b in backbone.text.transformer.resblocks)
    source = prompt_encoder(ica, backbone.text, blocks)
    made = draw(seed, batch, tokens, 16)
    assert relative_difference(source(made), TextPrefixFold()(source)(made)) <= BOUND


def test_the_prompt_encoder_before_folding_is_the_text_tower() -> None:
    backbone = tiny_backbone()
    ica = tiny_ica(backbone)
    feature = draw(3, 2, 16)
    blocks = tuple(folded_block(b) for b in backbone.text.transformer.resblocks)
    source = prompt_encoder(ica, backbone.text, blocks)
    encoded = source(ica.class_tokens(feature))
    tower = backbone.text.double()
    expected = tower(ica(feature).flatten(0, 1), ica.end).unflatten(0, (-1, 2))
    assert relative_difference(expected, encoded) <= BOUND


@folding
@given(seed=seeds, batch=batches, tokens=st.integers(1, 4), dim=st.sampled_from([8, 24]))
def test_meta_net_folds_into_two_products(seed: int, batch: int, tokens: int, dim: int) -> None:
    template = torch.zeros(2, 20, 12)
    ica = ICA(tiny_config(class_tokens=tokens), dim=dim, template=template).double()
    randomise(ica, seed)
    feature = draw(seed, batch, dim)
    assert relative_difference(ica.class_tokens(feature), MetaNetFold()(ica)(feature)) <= BOUND


@folding
@given(
    seed=seeds,
    batch=batches,
    heads=head_counts,
    dim=st.sampled_from([16, 32]),
    layers=st.integers(1, 4),
    patches=st.integers(1, 30),
    scale=st.sampled_from(["none", "inverse_sqrt"]),
)
def test_fgp_folds_into_its_queries(
    seed: int, batch: int, heads: int, dim: int, layers: int, patches: int, scale: str
) -> None:
    fgp = FGP(dim, tiny_config(fgp_heads=heads, fgp_scale=scale)).double()
    randomise(fgp, seed)
    text, features = (
        unit(draw(seed, batch, 2, dim)),
        unit(draw(seed + 1, batch, layers, patches, dim)),
    )
    assert relative_difference(fgp(text, features), FgpFold()(fgp)(text, features)) <= BOUND


@folding
@given(
    seed=seeds,
    batch=batches,
    layers=st.integers(1, 4),
    patches=st.integers(4, 40),
    k=st.integers(1, 4),
    rule=st.sampled_from(["official", "paper"]),
)
def test_two_classes_fold_into_one_difference(
    seed: int, batch: int, layers: int, patches: int, k: int, rule: str
) -> None:
    config = tiny_config(top_k=k, image_score=rule)
    text, features = (
        unit(draw(seed, batch, layers, 2, 8)),
        unit(draw(seed + 1, batch, layers, patches, 8)),
    )
    alignment = utpa.align(text, features, config.temperature)
    logits = utpa.image_logits(alignment, text, features, config)
    expected = logits.softmax(dim=-1)[..., ABNORMAL].mean(dim=1)
    score, probability = TwoClassFold()(config)(text, features)
    mean = alignment.probabilities[..., ABNORMAL].mean(dim=1)
    assert relative_difference(expected, score) <= BOUND
    assert relative_difference(mean, probability) <= BOUND


@folding
@given(
    seed=seeds,
    batch=batches,
    layers=st.integers(1, 3),
    grid=grids,
    factor=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    sigma=st.sampled_from([0.0, 0.5, 1.7, 4.0, 8.0]),
)
def test_upsampling_and_smoothing_fold_into_two_products(
    seed: int,
    batch: int,
    layers: int,
    grid: tuple[int, int],
    factor: tuple[int, int],
    sigma: float,
) -> None:
    size = (grid[0] * factor[0], grid[1] * factor[1])
    probability = draw(seed, batch, layers, grid[0] * grid[1]).sigmoid()
    pair = torch.stack([1 - probability, probability], dim=-1)
    planes = upsampled_probabilities(Alignment(pair, pair), grid, size)
    expected = torch.from_numpy(anomaly_map(planes, sigma))
    folded = UpsampleFold()(Upsampling(grid, size, sigma))
    merged = probability.mean(dim=1).unflatten(-1, grid)
    assert relative_difference(expected, folded(merged)) <= BOUND


@folding
@given(
    seed=seeds,
    batch=batches,
    layers=st.integers(1, 3),
    grid=st.tuples(st.integers(2, 4), st.integers(2, 5)),
    cls_ln_post=st.booleans(),
    rule=st.sampled_from(["official", "paper"]),
)
def test_the_folded_detector_is_the_unfolded_one(
    seed: int, batch: int, layers: int, grid: tuple[int, int], cls_ln_post: bool, rule: str
) -> None:
    """All folds together, in float64 from pixels to score; graphs differ from this by precision alone."""
    size = VisionOptions(
        8 * grid[0], 8 * grid[1], tuple(range(1, layers + 1)), cls_ln_post=cls_ln_post
    )
    backbone = tiny_backbone(size, layers=layers, seed=seed)
    method = tiny_method(backbone, seed, top_k=3, image_score=rule)
    modules = (
        Encoder(backbone),
        Prompts(ica_of(method), backbone.text),
        Vip2ClipHeads(method, size, grid),
    )
    encoder, prompts, heads = (module.double() for module in modules)
    image = torch.randint(0, 256, (batch, size.height, size.width, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected_features = backbone.double()(image)
        expected = method.double()(backbone.text, expected_features)
        feature, patches = encoder(image)
        score, _, _ = heads(patches, prompts(feature))
    # Folded weights were rounded to float32 once, hence the wider bound.
    assert relative_difference(expected_features.patch_features, patches) <= 1e-5
    assert relative_difference(expected.scores(), score) <= 1e-5


def test_every_fold_has_a_name_of_its_own() -> None:
    names = [fold.name for fold in FOLDS]
    assert len(set(names)) == len(names)


def test_a_fold_that_changes_something_is_refused() -> None:
    class Wrong(QuickGeluFold):
        def call(self, source: Block) -> Block:
            folded = super().call(source)
            folded.up.weight.mul_(1 + 1e-6)
            return folded

    source = Block(tiny_backbone().vision.visual.transformer.resblocks[0])
    with pytest.raises(GateError, match="quick-gelu"):
        Wrong()(source)


def test_weights_that_are_not_finite_are_refused() -> None:
    source = Block(tiny_backbone().vision.visual.transformer.resblocks[0])
    source.up.weight[0, 0] = float("nan")
    with pytest.raises(GateError, match="finite"):
        LayerNormFold()(source)


def test_the_text_prefix_needs_folded_attention() -> None:
    backbone = tiny_backbone()
    blocks = tuple(Block(b) for b in backbone.text.transformer.resblocks)
    source = prompt_encoder(tiny_ica(backbone), backbone.text, blocks)
    fold: Fold[PromptEncoder, torch.nn.Module] = TextPrefixFold()  # type: ignore[assignment]
    with pytest.raises(UsageError, match="attention"):
        fold(source)
