"""Whether a file ends before its audio does: what decoders pass over, and what interrupted copies leave."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

__all__ = ["cut_off"]

_SLACK = 0.05  # seconds of audio that careless writers promise and never had
_CHUNKS = 1000
_UNKNOWN = 0x7FFF0000  # sizes of 32 bits from here on are put by programs that write to a pipe
_TAIL = 1 << 16  # bytes at the end that hold the last page of an Ogg stream, and many frames of MP3
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_W64_FORMAT = bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a")


def cut_off(stream: BinaryIO, size: int) -> str:
    """Why a file of audio is known to be cut off; empty if nothing shows that it is.

    Of WAV, RF64, W64, AIFF and AU by the size that the header gives; of MP3 by the size in its Xing or VBRI header,
    or by half a frame at its end; of Ogg by its last page. A cut FLAC file does not decode.

    Arguments:
        stream: the file, from its beginning.
        size: its bytes.
    """
    stream.seek(0)
    head = stream.read(40)
    try:
        if head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE":
            return _short(_riff(stream, size, ">" if head[:4] == b"RIFX" else "<"), size)
        if head[:4] == b"riff" and head[24:28] == b"wave":
            return _short(_w64(stream, size), size)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return _short(_aiff(stream, size), size)
        if head[:4] == b".snd":
            return _short(_au(head), size)
        if head[:4] == b"OggS":
            return _ogg(stream, size)
        if head[:3] == b"ID3" or (head[:1] == b"\xff" and _frame_length(head[:4])):
            return _mp3(stream, size)
    except (struct.error, ZeroDivisionError, OverflowError, IndexError):  # not what it began as: the decoder says why
        pass
    return ""


class _Promised(NamedTuple):
    start: int  # of the audio, in bytes
    length: int  # in bytes
    rate: float  # bytes in a second


def _short(found: _Promised | None, size: int) -> str:
    if found is None or found.length == 0 or found.rate <= 0:
        return ""
    there, promised = max(0, size - found.start) / found.rate, found.length / found.rate
    if promised - there <= _SLACK:
        return ""
    return f"cut off: its header promises {promised:.3f} s, of which {there:.3f} s are there"


def _riff(stream: BinaryIO, size: int, order: str) -> _Promised | None:
    at, rate, large = 12, 0, None
    for _ in range(_CHUNKS):
        stream.seek(at)
        name, length = struct.unpack(f"{order}4sI", stream.read(8))
        if name == b"ds64":
            large = struct.unpack("<8xQ", stream.read(16))[0]
        elif name == b"fmt ":
            rate = struct.unpack(f"{order}8xI", stream.read(12))[0]
        elif name == b"data":
            length = large if large is not None and length == 0xFFFFFFFF else length
            return None if large is None and length >= _UNKNOWN else _Promised(at + 8, length, rate)
        at += 8 + length + length % 2
        if at >= size:
            return None
    return None


def _w64(stream: BinaryIO, size: int) -> _Promised | None:
    at, rate = 40, 0
    for _ in range(_CHUNKS):
        stream.seek(at)
        name, length = struct.unpack("<16sQ", stream.read(24))
        if name == _W64_FORMAT:
            rate = struct.unpack("<8xI", stream.read(12))[0]
        elif name == _W64_DATA:
            return None if length > 1 << 60 else _Promised(at + 24, length - 24, rate)
        at += max(24, length + -length % 8)
        if at >= size:
            return None
    return None


def _aiff(stream: BinaryIO, size: int) -> _Promised | None:
    at, frames, rate = 12, 0, 0.0
    for _ in range(_CHUNKS):
        stream.seek(at)
        name, length = struct.unpack(">4sI", stream.read(8))
        if name == b"COMM":
            frames, exponent, mantissa = struct.unpack(">2xI2xHQ", stream.read(18))
            rate = mantissa / 2.0 ** (16383 + 63 - (exponent & 0x7FFF))
        elif name == b"SSND":
            if length >= _UNKNOWN or not frames:
                return None
            return _Promised(at + 16, length - 8, (length - 8) * rate / frames)
        at += 8 + length + length % 2
        if at >= size:
            return None
    return None


def _au(head: bytes) -> _Promised | None:
    start, length, encoding, rate, channels = struct.unpack(">4xIIIII", head[:24])
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0)
    return None if length >= _UNKNOWN else _Promised(start, length, rate * channels * width)


def _ogg(stream: BinaryIO, size: int) -> str:
    stream.seek(max(0, size - _TAIL))
    tail = stream.read(_TAIL)
    at = tail.rfind(b"OggS")
    if at < 0:
        return ""
    page = tail[at:]
    segments = page[26] if len(page) > 26 else 0
    whole = len(page) >= 27 + segments and len(page) >= 27 + segments + sum(page[27 : 27 + segments])
    if not whole:
        return "cut off: its last page is not whole"
    return "" if page[5] & 4 else "cut off: its last page is missing"


_BITRATES = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by version (3: MPEG-1, 2: MPEG-2 and 2.5) and layer (3: I, 2: II, 1: III), ISO/IEC 11172-3 and 13818-3."""
_BITRATES[2, 1] = _BITRATES[2, 2]
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame_length(head: bytes) -> int:
    """Bytes of the MPEG audio frame that begins so, 0 if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 0 or bitrate in (0, 15) or rate == 3:
        return 0
    kbits, hz = _BITRATES[3 if version == 3 else 2, layer][bitrate], _RATES[version][rate]
    if layer == 3:
        return (12_000 * kbits // hz + padding) * 4
    return (72_000 if layer == 1 and version != 3 else 144_000) * kbits // hz + padding


def _mp3(stream: BinaryIO, size: int) -> str:
    stream.seek(0)
    head, start = stream.read(10), 0
    if head[:3] == b"ID3":
        digits = head[6:10]
        start = 10 + (digits[0] << 21 | digits[1] << 14 | digits[2] << 7 | digits[3]) + (10 if head[5] & 16 else 0)
    stream.seek(start)
    first = stream.read(256)
    length = _frame_length(first[:4])
    if not length:
        return ""
    promised = _promised_bytes(first)
    if promised:
        missing = start + promised - size
        if missing > max(2 * length, promised // 100):
            return f"cut off: its header promises {promised:,} bytes, of which {promised - missing:,} are there"
    return _half_frame(stream, start, size)


def _promised_bytes(frame: bytes) -> int:
    """Bytes of the whole stream by the header in its first frame, 0 if there is none."""
    stereo, first = frame[3] >> 6 != 3, frame[1] >> 3 & 3 == 3
    at = 4 + ((32 if stereo else 17) if first else (17 if stereo else 9)) + (0 if frame[1] & 1 else 2)
    if frame[at : at + 4] in (b"Xing", b"Info"):
        flags = struct.unpack(">I", frame[at + 4 : at + 8])[0]
        place = at + 8 + (4 if flags & 1 else 0)
        return struct.unpack(">I", frame[place : place + 4])[0] if flags & 2 else 0
    return struct.unpack(">I", frame[46:50])[0] if frame[36:40] == b"VBRI" else 0


def _half_frame(stream: BinaryIO, start: int, size: int) -> str:
    """Whether the last of the frames that follow one another at the end of the file is not whole."""
    begin = max(start, size - _TAIL)
    stream.seek(begin)
    tail = stream.read(size - begin)
    for at in range(min(len(tail), 8192)):
        chain, place = 0, at
        while place < len(tail) and (length := _frame_length(tail[place : place + 4])):
            chain, place = chain + 1, place + length
        if chain >= 4:  # so many in a row are no accident
            return "cut off: its last frame is not whole" if place > len(tail) else ""
    return ""
