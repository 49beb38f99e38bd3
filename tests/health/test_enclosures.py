"""The light beside a bay."""

from __future__ import annotations

import pytest

from appliance.base.errors import HoldfastError, NotFoundError, UsageError
from appliance.health.enclosures import light_bay, list_bays
from tests.health.kernel_files import KernelFiles


def test_the_light_of_a_bay_is_switched_on_and_off(files: KernelFiles) -> None:
    light = files.slot("6:0:0:0", "Slot 03", files.disk("sda", serial="A"))
    other = files.slot("6:0:0:0", "Slot 04", None)
    light_bay(list_bays(files.tree), "Slot 03", is_on=True)
    assert light.read_text() == "1"
    assert other.read_text() == "0\n"
    assert [bay.is_lit for bay in list_bays(files.tree)] == [True, False]
    light_bay(list_bays(files.tree), "6:0:0:0/Slot 03", is_on=False)
    assert light.read_text() == "0"


def test_a_bay_that_does_not_exist_is_refused_with_those_that_do(files: KernelFiles) -> None:
    files.slot("6:0:0:0", "Slot 03", None)
    with pytest.raises(NotFoundError, match="6:0:0:0/Slot 03"):
        light_bay(list_bays(files.tree), "Slot 99", is_on=True)


def test_a_name_in_two_enclosures_is_refused_until_it_is_clear(files: KernelFiles) -> None:
    files.slot("6:0:0:0", "Slot 03", None)
    second = files.slot("7:0:0:0", "Slot 03", None)
    with pytest.raises(UsageError, match="7:0:0:0/Slot 03"):
        light_bay(list_bays(files.tree), "Slot 03", is_on=True)
    light_bay(list_bays(files.tree), "7:0:0:0/Slot 03", is_on=True)
    assert second.read_text() == "1"


def test_a_bay_without_a_light_says_so(files: KernelFiles) -> None:
    files.slot("6:0:0:0", "Slot 03", None).unlink()
    with pytest.raises(HoldfastError, match="no light"):
        light_bay(list_bays(files.tree), "Slot 03", is_on=True)
