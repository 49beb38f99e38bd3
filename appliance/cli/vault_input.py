"""What people hand in for a vault: its credentials."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.base.errors import UsageError
from appliance.formats.vault_credentials import Credentials
from appliance.vault.address import Address, DirectoryAddress
from appliance.vault.credentials import read_credentials_file, read_environment


def find_credentials(address: Address, path: Path | None) -> Credentials | None:
    """The credentials in the file that was named, else in the environment.

    None for a directory. Raises UsageError where there are none and some are needed.
    """
    if isinstance(address, DirectoryAddress):
        if path is not None:
            raise UsageError("a directory needs no credentials: leave out --credentials-file")
        return None
    found = read_environment(os.environ) if path is None else read_credentials_file(path)
    if found is None:
        raise UsageError(
            "an s3:// vault needs credentials: give --credentials-file F, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            code="needs-credentials",
        )
    return found
