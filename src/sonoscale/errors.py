"""Errors that a user can act on."""

from __future__ import annotations

__all__ = ["SonoscaleError", "SonoscaleWarning"]


class SonoscaleError(Exception):
    """A problem with the user's input or machine, in one line.

    The message names the offending file, key or value, and what would be right. The command line prints the
    message alone and exits with status 1; anything else that escapes is a defect of Sonoscale.
    """


class SonoscaleWarning(UserWarning):
    """What a user should know of a result, or of what was done to get it; the command line prints it in one line."""
