"""eSpeak NG through its C API: text to a waveform, the same bits every time.

eSpeak NG is a formant synthesiser in the line of Klatt, "Software for a cascade/parallel formant synthesizer"
(JASA, 1980). Its C library keeps state in static variables from one utterance to the next (the phase of the
pitch flutter, of the glottal cycle, of the echo buffer, the resonators' memory) and has no call that clears
it; `espeak_Terminate` does not either. Here each utterance gets a freshly mapped library: open it, seed the C
library's `rand`, speak, close it. That costs a few milliseconds and makes the sound a function of its
arguments alone. (Where another thread of the process calls `rand` meanwhile, the noise may differ.) Variants
with breath noise are not to be used: they differ from process to process even so.
"""

from __future__ import annotations

import _ctypes
import ctypes
import importlib
import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonoscale.errors import SonoscaleError

__all__ = ["INSTALL", "Voice", "speak", "speech_available", "version"]

INSTALL = 'pip install "sonoscale[procedural]"'

# Constants of speak_lib.h.
_SYNCHRONOUS_RETRIEVAL = 2
_DO_NOT_EXIT = 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARACTERS, _UTF8 = 1, 1

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Voice:
    """How an utterance is spoken.

    Arguments:
        language: eSpeak NG language code, such as 'en' or 'cmn'.
        variant: name of a speaker variant, such as 'f1'; '' for the language's own speaker.
        rate: words per minute, 80 to 450.
        pitch: 0 to 99; 50 is the variant's own pitch.
        range: 0 (monotone) to 99; 50 is the variant's own intonation.
    """

    language: str
    variant: str = ""
    rate: int = 175
    pitch: int = 50
    range: int = 50


def speech_available() -> bool:
    """Whether the optional package that carries eSpeak NG is installed.

    Returns:
        True if procedural speech can be made.

    Example:
        >>> speech_available() in (True, False)
        True
    """
    return importlib.util.find_spec("espeakng_loader") is not None


@lru_cache(maxsize=1)
def _paths() -> tuple[str, bytes]:
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise SonoscaleError(f"procedural speech needs eSpeak NG: {INSTALL}") from error
    return str(loader.get_library_path()), os.fsencode(loader.get_data_path())


# One eSpeak NG at a time in a process. A fork waits for the utterance under way, so that no child inherits an
# open library, or a lock that nobody will release.
_lock = threading.Lock()
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _is_mapped(path: str) -> bool:
    try:
        handle = _ctypes.dlopen(path, getattr(os, "RTLD_NOLOAD", 0) | os.RTLD_LAZY)
    except OSError:
        return False
    _ctypes.dlclose(handle)
    return True


@contextmanager
def _fresh_library() -> Iterator[tuple[ctypes.CDLL, bytes]]:
    path, data = _paths()
    with _lock:
        if _is_mapped(path):
            raise SonoscaleError(
                f"{path} is held open elsewhere in this process, so eSpeak NG would speak from its left-over "
                "state: make procedural speech in a process of its own"
            )
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise SonoscaleError(f"cannot load eSpeak NG from {path}: {error}") from error
        try:
            yield library, data
        finally:
            _ctypes.dlclose(library._handle)


def _check(code: int, what: str) -> None:
    if code != 0:
        raise SonoscaleError(f"eSpeak NG: {what} failed with code {code}")


@lru_cache(maxsize=1)
def version() -> str:
    """The version of the eSpeak NG library, such as '1.52'.

    Raises:
        SonoscaleError: eSpeak NG is not installed.
    """
    with _fresh_library() as (library, _):
        library.espeak_Info.restype = ctypes.c_char_p
        return str(library.espeak_Info(None).decode())


def speak(text: str, voice: Voice, *, seed: int = 1) -> tuple[NDArray[np.int16], int]:
    """Speak one utterance.

    Arguments:
        text: what to say, in the voice's language.
        voice: the speaker.
        seed: seed of the C library's `rand`, from which eSpeak NG draws its noise; 0 to 2**31 - 1.

    Returns:
        The waveform, int16 [samples], and its sample rate in Hz. It depends on the arguments and on nothing
        else: not on the process, nor on what was spoken before.

    Raises:
        SonoscaleError: eSpeak NG is not installed, does not know the voice, or said nothing.
    """
    pieces: list[bytes] = []

    def collect(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _Callback(collect)  # held by this frame until the library is closed
    utterance = text.encode()
    name = f"{voice.language}+{voice.variant}" if voice.variant else voice.language
    with _fresh_library() as (library, data):
        rate = library.espeak_Initialize(_SYNCHRONOUS_RETRIEVAL, 0, data, _DO_NOT_EXIT)
        if rate <= 0:
            raise SonoscaleError(f"eSpeak NG cannot start from its data folder {os.fsdecode(data)}")
        try:
            library.espeak_SetSynthCallback(callback)
            ctypes.CDLL(None).srand(ctypes.c_uint(seed))
            _check(library.espeak_SetVoiceByName(name.encode()), f"voice {name!r}")
            for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
                _check(library.espeak_SetParameter(parameter, int(value), 0), f"parameter {parameter}={value}")
            size = ctypes.c_size_t(len(utterance) + 1)
            code = library.espeak_Synth(utterance, size, 0, _CHARACTERS, 0, _UTF8, None, None)
            _check(code, f"synthesis of {text!r}")
        finally:
            library.espeak_Terminate()
    wave = np.frombuffer(b"".join(pieces), dtype=np.int16)
    if not wave.any():
        raise SonoscaleError(f"eSpeak NG said nothing for {text!r} in voice {name!r}")
    return wave, int(rate)
