"""Opening a box that has a passphrase: once for each boot, by whoever knows it."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.base.errors import AccessError, NotFoundError
from appliance.base.secret_file import read_secret
from appliance.keys import keyring

CREDENTIAL = "holdfast-passphrase"
"""Of systemd's LoadCredential= and LoadCredentialEncrypted=."""


def open_by_credential(state: Path) -> bool:
    """Unlock with what systemd hands over, if the box is locked; whether it was.

    Raises AccessError if the credential does not open the box.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = None if folder is None else Path(folder) / CREDENTIAL
    if path is None or not path.is_file() or not is_locked(state):
        return False
    keyring.unlock(state, read_secret(path))
    return True


def is_locked(state: Path) -> bool:
    """Whether there is a store, and its key is not at hand."""
    try:
        keyring.load_master_key(state, None)
    except NotFoundError:
        return False
    except AccessError:
        return True
    return False
