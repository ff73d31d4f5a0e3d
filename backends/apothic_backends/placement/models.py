"""The models of GPUs that are known by name, and what a name that is none of them may mean."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.gpus import is_model

_CLOSE: Final = 0.75

_TABLE: Final = """
    A10, A10g, A16, A30, A40, A100 PCIE, A100 SXM4, A100 SXM, A100X, A800 PCIE, B200, B300, GB200,
    GH200 SXM, H100 PCIE, H100 SXM, H100 NVL, H200, H200 NVL, L4, L40, L40S, Tesla K80, Tesla M40,
    Tesla P4, Tesla P40, Tesla P100, Tesla T4, Tesla V100, GB10, Orin, Thor,
    RTX 5050, RTX 5060, RTX 5060 Ti, RTX 5070, RTX 5070 Ti, RTX 5080, RTX 5090, RTX 5090 D,
    RTX 4050, RTX 4060, RTX 4060 Ti, RTX 4070, RTX 4070 SUPER, RTX 4070 Ti, RTX 4070 Ti SUPER,
    RTX 4080, RTX 4080 SUPER, RTX 4090, RTX 4090 D,
    RTX 3050, RTX 3060, RTX 3060 Ti, RTX 3070, RTX 3070 Ti, RTX 3080, RTX 3080 Ti, RTX 3090,
    RTX 3090 Ti, RTX 2060, RTX 2060 SUPER, RTX 2070, RTX 2070 SUPER, RTX 2080, RTX 2080 SUPER,
    RTX 2080 Ti, GTX 1050, GTX 1050 Ti, GTX 1060, GTX 1070, GTX 1070 Ti, GTX 1080, GTX 1080 Ti,
    GTX 1650, GTX 1660, GTX 1660 SUPER, GTX 1660 Ti, Titan RTX, Titan V, Titan Xp,
    RTX A2000, RTX A4000, RTX A4500, RTX A5000, RTX A5500, RTX A6000, RTX 2000 Ada, RTX 4000 Ada,
    RTX 4500 Ada, RTX 5000 Ada, RTX 5880 Ada, RTX 6000 Ada, RTX PRO 4000, RTX PRO 4500,
    RTX PRO 5000, RTX PRO 6000, RTX PRO 6000 S, RTX PRO 6000 WS, RTX PRO 6000 Max-Q,
    Quadro RTX 4000, Quadro RTX 5000, Quadro RTX 6000, Quadro RTX 8000, Q RTX 4000, Q RTX 5000,
    Q RTX 6000, Q RTX 8000, InstinctMI50, InstinctMI100, InstinctMI210, InstinctMI250X,
    InstinctMI300X, RX 7900 XTX, PRO W7900
"""

MODELS: Final = tuple(name.strip() for name in _TABLE.split(","))
"""As markets call them. New ones appear: a name that is like none of these is let through."""


def known_as(name: str) -> str:
    """A name that people have written, if it names a model that is known, or nothing like one.

    Raises:
        InvalidOption: it looks like a mistyped one.
    """
    if is_known(name) or "MIG" in _plain(name).split():
        return name
    from difflib import get_close_matches  # for mistakes  # noqa: PLC0415

    short = {model.split(" ", 1)[-1]: model for model in MODELS}
    plain = {_plain(model): model for model in (*MODELS, *short)}
    close = get_close_matches(_plain(name), plain, n=1, cutoff=_CLOSE)
    if not close:
        return name
    raise InvalidOption(
        f"no GPU is known as {name!r}; did you mean {plain[close[0]]!r}? One that is too new to be "
        f"known here is taken as it is by offer_filters={{'gpu_name': {{'eq': {name!r}}}}}",
        option="gpu",
        value=name,
    )


def is_known(name: str) -> bool:
    """Whether a name is that of a model, of several, or of a kind of one, in whatever spelling."""
    size = size_in(name)
    return any(is_model(f"{it} {size}", name) or is_model(name, it) for it in MODELS)


def size_in(name: str) -> str:
    """What a name says of a GPU's memory: "80GB", or nothing."""
    return " ".join(word for word in name.upper().replace("-", " ").split() if word.endswith("GB"))


def _plain(name: str) -> str:
    return name.upper().replace("_", " ").replace("-", " ")
