"""What is known of providers of S3 beforehand: addressing, abilities, and list prices.

Owns two small tables. What a provider really does is probed (`object_lock`); prices are an
estimate for `vault status`, never a bill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Style = Literal["path", "virtual"]
PART_MIN_BYTES = 5 << 20  # S3's own limits, kept by all
PART_COUNT_MAX = 10_000
_GB = 1e9


@dataclass(frozen=True)
class Prices:
    """List prices of November 2026 in US dollars: standard class, a large region, no free tier."""

    put_per_1000: float = 0.0
    get_per_1000: float = 0.0
    out_per_gb: float = 0.0
    stored_per_gb_month: float = 0.0


@dataclass(frozen=True)
class Provider:
    """What one provider is like.

    Attributes:
        name: for people.
        domains: what its host names end with; none: everybody else.
        styles: addressing that works, the better one first.
        lock: S3's object lock is on offer.
        conditional: a PUT obeys If-Match and If-None-Match where no versions are kept.
        conditional_versions: also where versions are kept.
        location: CreateBucket wants the region as its location.
    """

    name: str
    domains: tuple[str, ...]
    styles: tuple[Style, ...]
    lock: bool
    conditional: bool
    conditional_versions: bool
    location: bool
    prices: Prices


# Deletes are free everywhere here. Lists, starts and ends of multipart uploads cost as PUTs.
PROVIDERS = (
    Provider(
        "Amazon S3",
        ("amazonaws.com", "amazonaws.com.cn"),
        ("virtual", "path"),
        lock=True,
        conditional=True,
        conditional_versions=True,
        location=True,
        prices=Prices(0.005, 0.0004, 0.09, 0.023),
    ),
    Provider(
        "Alibaba Cloud OSS",
        ("aliyuncs.com",),
        ("virtual",),
        lock=False,  # a bucket-wide WORM policy of its own instead
        conditional=False,
        conditional_versions=False,
        location=False,
        prices=Prices(0.0016, 0.00014, 0.08, 0.0173),
    ),
    Provider(
        "Backblaze B2",
        ("backblazeb2.com",),
        ("virtual", "path"),
        lock=True,
        conditional=False,
        conditional_versions=False,
        location=False,
        prices=Prices(0.0, 0.0004, 0.01, 0.006),
    ),
)
# Ceph, MinIO and other gateways of one's own. Ceph's lets conditional PUTs through where versions
# are kept; who answers "not implemented" is believed at once.
OTHER = Provider(
    "S3-compatible",
    (),
    ("path", "virtual"),
    lock=True,
    conditional=True,
    conditional_versions=False,
    location=False,
    prices=Prices(),
)


def find_provider(host: str) -> Provider:
    """Who runs the endpoint at `host`."""
    name = host.lower().rstrip(".")
    for provider in PROVIDERS:
        for domain in provider.domains:
            if name == domain or name.endswith(f".{domain}"):
                return provider
    return OTHER


def estimate_cost_usd(
    provider: Provider, requests: Mapping[str, int], received_bytes: int = 0
) -> float:
    """What these requests and this egress cost by the list."""
    prices = provider.prices
    dear = sum(requests.get(kind, 0) for kind in ("PUT", "POST", "LIST"))
    cheap = sum(requests.get(kind, 0) for kind in ("GET", "HEAD"))
    return (
        dear * prices.put_per_1000 / 1000
        + cheap * prices.get_per_1000 / 1000
        + received_bytes / _GB * prices.out_per_gb
    )


def estimate_storage_usd(provider: Provider, stored_bytes: int) -> float:
    """What keeping so much for a month costs by the list."""
    return stored_bytes / _GB * provider.prices.stored_per_gb_month
