"""Providers and what they cost by their list."""

from __future__ import annotations

import pytest

from appliance.vault.providers import (
    OTHER,
    PROVIDERS,
    estimate_cost_usd,
    estimate_storage_usd,
    find_provider,
)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("s3.eu-central-1.amazonaws.com", "Amazon S3"),
        ("S3.CN-NORTH-1.AMAZONAWS.COM.CN.", "Amazon S3"),
        ("oss-cn-hangzhou.aliyuncs.com", "Alibaba Cloud OSS"),
        ("evilamazonaws.com", "S3-compatible"),
        ("amazonaws.com.example", "S3-compatible"),
        ("127.0.0.1", "S3-compatible"),
    ],
)
def test_a_provider_is_known_by_its_domain(host: str, name: str) -> None:
    assert find_provider(host).name == name


def test_requests_cost_what_the_list_says() -> None:
    amazon = PROVIDERS[0]
    requests = {"PUT": 1000, "LIST": 1000, "POST": 1000, "GET": 1000, "HEAD": 1000, "DELETE": 9}
    assert estimate_cost_usd(amazon, requests, 10**9) == pytest.approx(0.015 + 0.0008 + 0.09)
    assert estimate_storage_usd(amazon, 10**12) == pytest.approx(23.0)
    assert estimate_cost_usd(OTHER, requests, 10**9) == 0
