"""What Vast's market calls models of GPUs, letter by letter: that is how its filter compares.

Which models a name means is said elsewhere (`apothic_backends.model.gpus`), and for all markets
alike: here are only the spellings. Cards of 40 and of 80 GB share a name.
"""

from __future__ import annotations

from typing import Final

from apothic_backends.model.gpus import is_model
from apothic_backends.placement.models import size_in

_TABLE: Final = """
    A10, A10g, A16, A30, A40, A100 PCIE, A100 SXM4, A100 SXM, A100X, A800 PCIE, B200, GH200 SXM,
    H100 PCIE, H100 SXM, H100 NVL, H200, H200 NVL, L4, L40, L40S, Tesla K80, Tesla M40, Tesla P4,
    Tesla P40, Tesla P100, Tesla T4, Tesla V100,
    RTX 5060, RTX 5060 Ti, RTX 5070, RTX 5070 Ti, RTX 5080, RTX 5090,
    RTX 4060, RTX 4060 Ti, RTX 4070, RTX 4070S, RTX 4070 Ti, RTX 4070S Ti, RTX 4080, RTX 4080S,
    RTX 4090, RTX 4090D, RTX 3060 laptop, RTX 4090 laptop,
    RTX 3050, RTX 3060, RTX 3060 Ti, RTX 3070, RTX 3070 Ti, RTX 3080, RTX 3080 Ti, RTX 3090,
    RTX 3090 Ti, RTX 2060, RTX 2060S, RTX 2070, RTX 2070S, RTX 2080, RTX 2080S, RTX 2080 Ti,
    GTX 1050, GTX 1050 Ti, GTX 1060, GTX 1070, GTX 1070 Ti, GTX 1080, GTX 1080 Ti, GTX 1650,
    GTX 1660, GTX 1660 S, GTX 1660 Ti, Titan RTX, Titan V, Titan Xp,
    RTX A2000, RTX A4000, RTX A4500, RTX A5000, RTX A6000, RTX 2000Ada, RTX 4000Ada, RTX 4500Ada,
    RTX 5000Ada, RTX 5880Ada, RTX 6000Ada, Q RTX 4000, Q RTX 5000, Q RTX 6000, Q RTX 8000,
    RTX PRO 4000, RTX PRO 4500, RTX PRO 5000, RTX PRO 6000, RTX PRO 6000 S, RTX PRO 6000 WS,
    RTX PRO 6000 Max-Q, InstinctMI50, InstinctMI100, InstinctMI210, InstinctMI250X,
    InstinctMI300X, RX 7900 XTX, PRO W7900
"""

NAMES: Final = tuple(" ".join(name.split()) for name in _TABLE.split(","))


def names_of(wanted: str) -> tuple[str, ...]:
    """The market's names for all that a name may mean.

    Without any it is the name itself, without underscores: new models appear.
    """
    size = size_in(wanted)
    known = tuple(name for name in NAMES if is_model(f"{name} {size}", wanted))
    return known or (" ".join(wanted.replace("_", " ").split()),)
