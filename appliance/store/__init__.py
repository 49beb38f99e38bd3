"""Row 3: containers, index, extent maps, points, leases, collection, verification.

Who may do what at the same time is in docs/ARCHITECTURE.md ("Operations side by side").
"""
