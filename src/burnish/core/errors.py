"""What can go wrong, as seen by the user.

Every message names where the fault is, what was found, what was expected and what to do about it, in one line:
it is the only thing that a user of the command line sees.
"""

from __future__ import annotations


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
