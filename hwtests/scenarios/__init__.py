"""Every scenario, in the order in which those of one lane are played."""

from __future__ import annotations

from hwtests.scenario import Scenario
from hwtests.scenarios import arrays, box, identity, nvme, pages, recorded, scsi, watchdog

SCENARIOS: tuple[Scenario, ...] = (
    *identity.SCENARIOS,
    *pages.SCENARIOS,
    *recorded.SCENARIOS,
    *nvme.SCENARIOS,
    *arrays.SCENARIOS,
    *box.SCENARIOS,
    # These leave disks behind that hang, and stop the guest.
    *scsi.SCENARIOS,
    *watchdog.SCENARIOS,
)
