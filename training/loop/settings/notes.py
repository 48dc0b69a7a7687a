"""What a run's settings must be told of before it starts."""

from typing import Any

from vipx.training.methods.method import MethodName


def notes(name: MethodName, config: Any) -> tuple[str, ...]:  # noqa: ANN401 - any method's own
    """Say where a configuration differs from the published code on purpose."""
    if name == "vip2clip" and config.preset == "official" and config.normal_word != "damaged":
        return (
            f"the normal prompt says {config.normal_word!r}; the published code writes 'damaged' into both "
            "prompts by mistake, as method.normal_word=damaged does",
        )
    if name == "tokenclip":
        return ("TokenCLIP-R is a reconstruction: its figures are not the paper's",)
    return ()
