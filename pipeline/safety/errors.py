"""The one error for anything a user or a stranger's file did wrong."""

from __future__ import annotations


class InputError(ValueError):
    """A user's or a stranger's file or value is wrong; the message names it and the remedy."""
