"""Every scenario, in the order in which they are played on one bench."""

from __future__ import annotations

from hwtests.scenario import Scenario
from hwtests.scenarios import arrays, box, identity, nvme, scsi

SCENARIOS: tuple[Scenario, ...] = (
    *identity.SCENARIOS,
    *nvme.SCENARIOS,
    *scsi.SCENARIOS,
    *arrays.SCENARIOS,
    *box.SCENARIOS,
)
