"""Floors that are named like their verb can be called: `sonoscale.probe(...)` is `sonoscale.probe.probe(...)`."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

from sonoscale.extras import missing_named

__all__ = ["make_callable"]


class _Verb(types.ModuleType):
    """A module that is called as the function of its own name in it."""

    @property
    def __signature__(self) -> inspect.Signature:
        with missing_named(self.__name__):
            return inspect.signature(getattr(self, self.__name__.rpartition(".")[2]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with missing_named(self.__name__):
            return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


def make_callable(name: str) -> None:
    """Let the module of this name be called as its verb; its last part names both."""
    sys.modules[name].__class__ = _Verb
