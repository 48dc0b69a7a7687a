"""From a bundle and good pictures to the ranges of its encoder."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from vipx.bundle import read_bundle
from vipx.calibration.collection.collect import good_images
from vipx.calibration.ranges.linears import LinearInput, linear_inputs
from vipx.calibration.ranges.request import RangesRequest
from vipx.calibration.ranges.watching import Group, Pictures, Report
from vipx.errors import InputError
from vipx.ranges import LEAST, InputRange, Ranges, encoder_identity, spread
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.probes.choice import choose_probe, open_probe


def collect_ranges(request: RangesRequest, report: Report) -> Ranges:
    """Watch a bundle's float32 encoder on good pictures, 64 at most; nothing is written.

    Raises:
        UsageError: The file exists already, the bundle has no float32 encoder, or an option does not fit.
        InputError: The pictures cannot be used.
        BundleError: The bundle cannot be trusted, or its encoder is not understood.
        EngineError: No engine here can look inside it.
        GateError: The encoder gives values that are not finite, or nothing but zeros.
    """
    request.check_file()
    choose_probe(request.options)
    listed = good_images(request.good, request.left_out)
    if len(listed) < LEAST:
        raise InputError(
            f"{request.good}: holds {len(listed)} pictures; ranges need {LEAST} or more of them, the more "
            "typical the better"
        )
    bundle = read_bundle(request.bundle)
    model, manifest = model_of(bundle, "fp32"), bundle.manifest
    pictures = Pictures(tuple(spread(listed)), manifest.input)
    inputs: dict[str, InputRange] = {}
    found = linear_inputs(model.encoder, manifest.backbone)
    tokens = 1 + manifest.input.rows * manifest.input.columns
    for together in grouped(found, tokens, request.fetched_bytes):
        group = Group(together, pictures)
        with closing(open_probe(model, group.tensors, request.options)) as probe:
            inputs |= group.ranges(probe, request.choice, report)
    return Ranges(
        encoder=encoder_identity(manifest.backbone, manifest.input),
        rule=request.choice.rule,
        alpha=request.choice.alpha,
        images=len(pictures.listed),
        inputs=inputs,
    )


def grouped(
    inputs: Sequence[LinearInput], tokens: int, most: int
) -> Iterator[tuple[LinearInput, ...]]:
    """Cut the inputs into runs whose values for one picture fit into so many bytes; one alone may be more."""
    together: list[LinearInput] = []
    size = 0
    for each in inputs:
        own = 4 * tokens * each.channels
        if together and size + own > most:
            yield tuple(together)
            together, size = [], 0
        together.append(each)
        size += own
    if together:
        yield tuple(together)
