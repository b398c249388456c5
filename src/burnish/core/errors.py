"""What can go wrong, as seen by the user.

Every message names where the fault is, what was found, what was expected and what to do about it, in one line:
it is the only thing that a user of the command line sees.
"""

from __future__ import annotations

import errno


class BurnishError(Exception):
    """A fault that the user can act on; the command line prints its message and ends with code 2."""


class InputError(BurnishError):
    """Options that do not go together or name something that is not there."""


class DataError(BurnishError):
    """A file whose content cannot be used."""


class ResourceError(BurnishError):
    """Not enough memory, no such device, a full disk."""


class JobError(BurnishError):
    """A job folder in a state that does not allow what was asked."""


def explain_os_error(error: OSError) -> str:
    """One line for a file or folder that the system refuses: which, why, and what to do."""
    name = error.filename2 or error.filename
    place = f"{name}: " if name is not None else ""
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{place}no permission to write or read there; choose another --out, or have the permission changed"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{place}no space left on the disk; free some, or choose another --out"
        case errno.EEXIST | errno.ENOTDIR:
            return f"{place}a file is where a folder should be; choose another --out, or move the file away"
        case errno.EISDIR:
            return f"{place}is a folder; name a file"
        case errno.ENOENT:
            return f"{place}no such file or folder, and it cannot be made; check the path"
        case _:
            return f"{place}{error.strerror or error}"
