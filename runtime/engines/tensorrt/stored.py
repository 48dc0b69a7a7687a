"""Finds the plans that were built for a bundle on this machine, and that passed there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vipx.errors import EngineError
from vipx.runtime.engines.engine import Model
from vipx.runtime.engines.tensorrt.cache import Cache, CompiledPlan, Unusable, open_cache
from vipx.runtime.engines.tensorrt.key import (
    Environment,
    Plan,
    Role,
    Settings,
    approval_key,
    plans_of,
)


def stored_plans(model: Model, environment: Environment, batch: int) -> Mapping[Role, CompiledPlan]:
    """Read the plans of a model; nothing is built here, since that takes minutes and all of a device.

    Raises:
        EngineError: None were built, they did not pass, or they are not what was built; with the remedy.
    """
    cache = open_cache()
    command = f"vipx build {model.folder} --precision {model.precision} --batch {batch}"
    try:
        plans = approved_plans(cache, model, environment, batch)
        return {plan.role: cache.read(plan) for plan in plans}
    except Unusable as reason:
        raise EngineError(
            f"{model.name}: no TensorRT engine can be used for it here ({reason}); run `{command}`, or choose "
            "another --engine"
        ) from reason


def approved_plans(
    cache: Cache, model: Model, environment: Environment, batch: int
) -> tuple[Plan, ...]:
    """List the plans that passed on the bundle's golden images together, as they were built.

    Raises:
        Unusable: There are none for this bundle, precision, batch, machine and TensorRT.
    """
    approval = cache.read_approval(approval_key(model, environment, batch))
    settings = Settings(batch=batch, **approval["settings"])
    if settings.typing == "weak":
        model = weakly_typed(model, approval["encoder"])
    plans = plans_of(model, environment, settings)
    passed: dict[str, Any] = approval["plans"]
    if any(passed.get(plan.role) != plan.key for plan in plans):
        raise Unusable(f"{model.name}: other engines than its own passed")
    return plans


def weakly_typed(model: Model, encoder: str) -> Model:
    """Give the model with the float32 encoder, from which TensorRT before 10.12 chooses types itself."""
    return replace(model, encoder=model.folder / encoder)
