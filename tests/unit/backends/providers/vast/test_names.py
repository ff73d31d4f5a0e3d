"""What Vast calls what people ask for."""

from __future__ import annotations

import pytest

from apothic_backends.placement.models import MODELS
from apothic_backends.providers.vast.names import NAMES, names_of


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("RTX_4090", {"RTX 4090"}),
        ("RTX 4070 SUPER", {"RTX 4070S"}),
        ("RTX 4070", {"RTX 4070"}),
        ("RTX 6000 Ada", {"RTX 6000Ada"}),
        ("A100", {"A100 PCIE", "A100 SXM4", "A100 SXM"}),
        ("A100-80GB", {"A100 PCIE", "A100 SXM4", "A100 SXM"}),
        ("H100", {"H100 PCIE", "H100 SXM", "H100 NVL"}),
        ("L4", {"L4"}),
        ("T4", {"Tesla T4"}),
        ("V100", {"Tesla V100"}),
        ("A6000", {"RTX A6000"}),
        ("RTX_9090", {"RTX 9090"}),
    ],
)
def test_a_name_is_all_of_the_markets_names_that_it_may_mean(wanted: str, found: set[str]) -> None:
    assert set(names_of(wanted)) == found


def test_every_model_that_is_known_elsewhere_is_one_of_the_markets_names_or_is_sent_as_it_is() -> (
    None
):
    sent = {name for model in MODELS for name in names_of(model)}

    assert {name for name in sent if "_" in name} == set()
    assert set(NAMES) - {"RTX 3060 laptop", "RTX 4090 laptop"} <= sent
