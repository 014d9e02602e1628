"""Fetching against a real HTTP server on this machine: interrupted, misbehaving, wrong, malicious."""

import contextlib
import hashlib
import http.server
import io
import json
import shutil
import subprocess
import tarfile
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from sonoscale.corpora._download import Patience, download
from sonoscale.corpora._fetch import fetch_corpus
from sonoscale.corpora._recipes import Recipe, find_recipe, load_recipes
from sonoscale.corpora._split_zip import SplitZip
from sonoscale.corpora._unpack import unpack
from sonoscale.errors import SonoscaleError

IMPATIENT = Patience(retries=2, pause=0.001, timeout=5)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by name and remembers what it was asked: path and Range."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str | None]] = []
        self.expected: dict[str, bytes] = {}
        self.stopping = False
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """/MODE/FILE serves a file of `server.files`; the mode says how it misbehaves."""

    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self):
        _, mode, name = self.path.split("/", 2)
        wanted = self.headers.get("Range")
        self.server.log.append((self.path, wanted))
        first = sum(path == self.path for path, _ in self.server.log) == 1
        body = self.server.files.get(name)
        if mode == "pointing":
            self.answer(302, b"", {"Location": name})
            return
        if mode == "endless":
            self.without_end(body or b"", 0.0)
            return
        if mode == "dripping":
            self.without_end(b"x", 0.02)
            return
        if body is None or (mode == "busy" and len(self.server.log) < 3):
            self.answer(404 if body is None else 503, b"")
            return
        if mode == "changing" and not first:
            body = body[::-1]
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        headers = {} if mode == "untagged" else {"ETag": tag}
        start = 0
        if wanted and mode != "norange" and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        sent = len(body)
        if mode == "hopeless":
            sent = 0
        elif first and mode in ("drop", "norange", "changing", "untagged"):
            sent = len(body) // 2
        self.answer(206 if start else 200, body[start:], headers, sent)

    def answer(self, status, body, headers=None, sent=None):
        self.send_response(status)
        for key, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that was interrupted
            self.wfile.write(body[:sent])
        if sent is not None and sent < len(body):
            self.close_connection = True

    def without_end(self, block, pause):
        """Sends and sends, and says neither how much nor that it ends."""
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            while not self.server.stopping:
                self.wfile.write(block)
                time.sleep(pause)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.stopping = True
    server.shutdown()
    server.server_close()


DATA = np.random.default_rng(0).bytes(3 << 20)
SHA = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"


def get(server, mode, target, **options):
    server.files.setdefault("data.bin", DATA)
    return download([f"{server.address}/{mode}/data.bin"], target, patience=IMPATIENT, **options)


@pytest.mark.parametrize(
    ("mode", "ranges"),
    [
        ("plain", [None]),
        ("drop", [None, f"bytes={len(DATA) // 2}-"]),
        ("norange", [None, f"bytes={len(DATA) // 2}-"]),
        ("changing", [None, f"bytes={len(DATA) // 2}-"]),  # another file by now: all of it again
        ("untagged", [None, None]),  # nothing shows whether it is the same file
        ("busy", [None, None, None]),
    ],
)
def test_the_file_arrives(server, tmp_path, mode, ranges):
    seen = []
    expected = DATA[::-1] if mode == "changing" else DATA
    found = get(server, mode, tmp_path / "f.bin", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "f.bin").read_bytes() == expected
    assert found == f"sha256:{hashlib.sha256(expected).hexdigest()}"
    assert [wanted for _, wanted in server.log] == ranges
    assert seen[-1] == (len(DATA), len(DATA))
    assert [file.name for file in tmp_path.iterdir()] == ["f.bin"]


def test_a_later_call_goes_on(server, tmp_path):
    def stop(done, total):
        if done >= 2 << 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, "plain", tmp_path / "f.bin", checksum=SHA, progress=stop)
    assert not (tmp_path / "f.bin").exists()
    assert get(server, "plain", tmp_path / "f.bin", checksum=SHA) == SHA
    assert int(str(server.log[1][1]).removeprefix("bytes=").removesuffix("-")) >= 2 << 20
    assert (tmp_path / "f.bin").read_bytes() == DATA
    get(server, "plain", tmp_path / "f.bin", checksum=SHA)
    assert len(server.log) == 2  # it is there


def test_killed_after_the_last_byte(server, tmp_path):
    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, "plain", tmp_path / "f.bin", progress=stop)
    assert get(server, "plain", tmp_path / "f.bin") == SHA
    assert (tmp_path / "f.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    ("mode", "options", "expected", "requests"),
    [
        ("plain", {"checksum": "md5:" + "0" * 32}, f"not what was published: {MD5}, not md5:0000", 1),
        ("plain", {"size": 5}, f"the server sends {len(DATA)} bytes; the file that was published has 5", 1),
        ("hopeless", {}, r"the connection ended after 0 of .* \(3 times\); what arrived is kept", 3),
    ],
)
def test_what_cannot_be_had(server, tmp_path, mode, options, expected, requests):
    with pytest.raises(SonoscaleError, match=expected):
        get(server, mode, tmp_path / "f.bin", **options)
    assert len(server.log) == requests
    assert not (tmp_path / "f.bin").exists()
    if options:
        assert not list(tmp_path.iterdir())  # a wrong file is not gone on with


def test_addresses_that_do_not_answer(server, tmp_path):
    urls = [f"{server.address}/plain/absent", "http://127.0.0.1:9/f"]
    with pytest.raises(SonoscaleError, match=r"plain/absent: the server answers 404 .*; .*:9/f: no connection"):
        download(urls, tmp_path / "f", patience=IMPATIENT)
    server.files["data.bin"] = DATA
    assert download([*urls, f"{server.address}/plain/data.bin"], tmp_path / "f", patience=IMPATIENT) == SHA


needs_zip = pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP's zip is not installed")


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files, mode: Literal["w", "w:gz"] = "w:gz", links=()):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return stream.getvalue()


def tree(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def recipe(files, **more):
    about = {"title": "Toy", "homepage": "http://toy", "licence": "CC BY 4.0", "citation": "Toy et al."}
    return Recipe.model_validate({**about, "files": files, **more})


def md5(content):
    return f"md5:{hashlib.md5(content).hexdigest()}"


@pytest.fixture
def toy(server):
    audio, labels = {"toy/audio/a.wav": b"A" * 99, "toy/audio/b.wav": b"B"}, {"toy/labels.csv": b"path,label"}
    server.files |= {"audio.tar.gz": tarred(audio), "labels.zip": zipped(labels), "readme.txt": b"read me"}
    contents = {name: md5(content) for name, content in server.files.items()}
    files = [
        {"url": f"{server.address}/drop/audio.tar.gz", "checksum": contents["audio.tar.gz"], "part": "audio"},
        {"url": f"{server.address}/plain/labels.zip", "checksum": contents["labels.zip"], "part": "labels"},
        {"url": f"{server.address}/plain/readme.txt", "into": "docs"},
    ]
    server.expected = {**audio, **labels, "docs/readme.txt": b"read me"}
    return recipe(files)


def fetched_tree(out):
    return {name: content for name, content in tree(out).items() if not name.endswith("sonoscale-fetch.json")}


def test_a_corpus_is_fetched_once(server, toy, tmp_path):
    seen = Counter()
    done = fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT, progress=lambda name, *_: seen.update([name]))
    assert done.files == ["audio.tar.gz", "labels.zip", "docs/readme.txt"]
    assert list(seen) == ["audio.tar.gz", "labels.zip", "readme.txt"]
    assert fetched_tree(tmp_path / "toy") == server.expected
    readme = hashlib.sha256(b"read me").hexdigest()
    assert done.notes == [f"readme.txt: no checksum is known: content not verified (it is sha256:{readme})"]
    receipt = json.loads((tmp_path / "toy" / "sonoscale-fetch.json").read_text())
    assert [f["verified"] for f in receipt["files"].values()] == [True, True, False]
    assert receipt["licence"] == "CC BY 4.0"
    assert [f.name for f in tmp_path.iterdir()] == ["toy"]  # no archives, nothing unfinished
    requests = len(server.log)
    assert fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT).files == []
    assert len(server.log) == requests


def test_parts_add_up(server, toy, tmp_path):
    assert fetch_corpus("toy", toy, tmp_path, parts=["labels"], patience=IMPATIENT).files == ["labels.zip"]
    assert list(fetched_tree(tmp_path / "toy")) == ["toy/labels.csv"]
    assert fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT).files == ["audio.tar.gz", "docs/readme.txt"]
    assert fetched_tree(tmp_path / "toy") == server.expected
    with pytest.raises(SonoscaleError, match="toy: no part 'sound'; its parts are audio, labels"):
        fetch_corpus("toy", toy, tmp_path, parts=["sound"])


def test_interrupted_between_two_files(server, toy, tmp_path):
    def stop(name, done, total):
        if name == "labels.zip":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT, progress=stop)
    assert fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT).files == ["labels.zip", "docs/readme.txt"]
    assert fetched_tree(tmp_path / "toy") == server.expected


def test_interrupted_while_unpacking(server, toy, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sonoscale.corpora._fetch.merge_into", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    requests = [path for path, _ in server.log]
    fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    assert [p for p, _ in server.log[len(requests) :]] == ["/plain/labels.zip", "/plain/readme.txt"]  # not audio again
    assert fetched_tree(tmp_path / "toy") == server.expected


def test_a_zenodo_record_tells_its_checksums(server, tmp_path):
    shards = {f"wds-{i}.tar": tarred({f"{i}.wav": b"x" * i}, "w") for i in range(3)}
    server.files |= {**shards, "encoded.bin": b"not this"}
    entries = [
        {"key": name, "size": len(body), "checksum": md5(body), "links": {"self": f"{server.address}/drop/{name}"}}
        for name, body in server.files.items()
    ]
    server.files["77"] = json.dumps({"files": entries}).encode()
    files = [{"zenodo": "77", "match": "wds-*.tar", "part": "task", "into": "task", "unpack": False}]
    toy = recipe(files, zenodo_api=f"{server.address}/plain")
    done = fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    assert done.notes == []
    assert fetched_tree(tmp_path / "toy") == {f"task/{name}": body for name, body in shards.items()}
    requests = len(server.log)
    fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    assert len(server.log) == requests
    entries[0]["checksum"] = "md5:" + "0" * 32
    server.files["77"] = json.dumps({"files": entries}).encode()
    with pytest.raises(SonoscaleError, match=r"wds-0.tar: the content is not what was published"):
        fetch_corpus("toy", toy, tmp_path / "again", patience=IMPATIENT)
    with pytest.raises(SonoscaleError, match=r"no file of this record matches '\*.zip'"):
        fetch_corpus("toy", recipe([{"zenodo": "77", "match": "*.zip"}], zenodo_api=toy.zenodo_api), tmp_path / "none")


@needs_zip
def test_a_split_zip_is_put_together(server, tmp_path):
    """Info-ZIP cuts the archive; what comes out is what went in."""
    audio = tmp_path / "source" / "audio"
    audio.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(40):
        (audio / f"clip{i}.bin").write_bytes(rng.bytes(5000) + bytes(4000))
    (audio / "leer-ü.txt").write_bytes(b"")
    command = ["zip", "-q", "-r", "-s", "64k", tmp_path / "cut.zip", "audio"]
    subprocess.run(command, cwd=tmp_path / "source", check=True)
    segments = sorted(tmp_path.glob("cut.z*"))
    assert [s.name for s in segments] == ["cut.z01", "cut.z02", "cut.z03", "cut.zip"]
    server.files |= {s.name: s.read_bytes() for s in segments}
    order = ["cut.zip", "cut.z02", "cut.z01", "cut.z03"]
    files = [{"url": f"{server.address}/drop/{n}", "checksum": md5(server.files[n]), "part": "dev"} for n in order]
    fetch_corpus("toy", recipe(files), tmp_path / "out", patience=IMPATIENT)
    assert fetched_tree(tmp_path / "out" / "toy") == tree(tmp_path / "source")


@needs_zip
def test_a_split_zip_with_damage(tmp_path):
    (tmp_path / "data.bin").write_bytes(np.random.default_rng(0).bytes(200_000))
    subprocess.run(["zip", "-q", "-s", "64k", "cut.zip", "data.bin"], cwd=tmp_path, check=True)
    segments = sorted(tmp_path.glob("cut.z*"))
    with pytest.raises(ValueError, match="segment 4 is missing"):
        [list(SplitZip(segments[1:]).read(m)) for m in SplitZip(segments[1:]).members()]
    damaged = bytearray(segments[1].read_bytes())
    damaged[1000] ^= 1
    segments[1].write_bytes(damaged)
    with pytest.raises(SonoscaleError, match=r"cut.zip: cannot be unpacked \(data.bin: damaged"):
        unpack(segments[-1], tmp_path / "out", segments[:-1])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/sonoscale-evil.txt", "a/../../evil.txt", "..\\evil.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar"])
def test_nothing_lands_outside(tmp_path, name, kind):
    files = {"fine.txt": b"fine", name: b"evil"}
    packed = zipped(files) if kind == "zip" else tarred(files, "w:gz" if kind == "tar.gz" else "w")
    (tmp_path / f"a.{kind}").write_bytes(packed)
    with pytest.raises(SonoscaleError, match="would be written outside the folder; nothing was unpacked"):
        unpack(tmp_path / f"a.{kind}", tmp_path / "deep" / "out")
    assert [f.name for f in tmp_path.rglob("*") if f.is_file()] == [f"a.{kind}"]
    assert not Path("/tmp/sonoscale-evil.txt").exists()


def test_links_are_left_out(tmp_path):
    (tmp_path / "a.tar").write_bytes(tarred({"b/fine.txt": b"fine"}, "w", links=[("b/link", "/etc/passwd")]))
    assert unpack(tmp_path / "a.tar", tmp_path / "out") == ["b/link"]
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert unpack(tmp_path / "a.zip", tmp_path / "zip") == ["link"]
    assert tree(tmp_path / "out") == {"b/fine.txt": b"fine"}
    assert tree(tmp_path / "zip") == {}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_damaged_archives(server, tmp_path, kind):
    body = zipped({"a": DATA[:9999]}) if kind == "zip" else tarred({"a": DATA[:9999]})
    damaged = body[:500] + bytes([body[500] ^ 255]) + body[501:]
    server.files[f"a.{kind}"] = damaged
    with pytest.raises(SonoscaleError, match=rf"a.{kind}: cannot be unpacked"):
        fetch_corpus("toy", recipe([{"url": f"{server.address}/plain/a.{kind}"}]), tmp_path, patience=IMPATIENT)
    assert not (tmp_path / "toy").exists()


def test_licences_and_what_is_not_to_be_had(toy, tmp_path):
    strict = toy.model_copy(update={"noncommercial": True, "licence": "CC BY-NC 3.0"})
    with pytest.raises(SonoscaleError, match=r"toy: its licence \(CC BY-NC 3.0\) restricts .* set accept_licence"):
        fetch_corpus("toy", strict, tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(fetch_corpus("toy", strict, tmp_path, accept_licence=True, patience=IMPATIENT).files) == 3
    with pytest.raises(SonoscaleError, match="audioset: only lists of videos are published"):
        fetch_corpus("audioset", load_recipes()["audioset"], tmp_path)


def test_the_recipes_of_the_package():
    recipes = load_recipes()
    asked_for = {
        "esc-50", "speech-commands", "fsd50k", "urbansound8k", "gtzan", "nsynth", "voxlingua107", "libricount",
        "crema-d", "audioset", "hear", "x-ares",
    }  # fmt: skip
    assert set(recipes) == asked_for
    assert len(recipes["voxlingua107"].parts) == 108  # 107 languages and dev
    for name, found in recipes.items():
        names = [file.filename for file in found.files if file.url]
        assert len(set(names)) == len(names), name
        assert len({(f.zenodo, f.match) for f in found.files if f.zenodo}) == len(found.files) - len(names), name
        assert found.noncommercial == ("NC" in found.licence or "commercial" in found.licence), name
    assert find_recipe("ESC50", recipes)[0] == "esc-50"
    with pytest.raises(SonoscaleError, match="no recipe 'gtzann'; did you mean 'gtzan'"):
        find_recipe("gtzann", recipes)


def test_recipes_of_ones_own(tmp_path, monkeypatch):
    own = tmp_path / "own.yaml"
    own.write_text(
        "mine: {title: T, homepage: h, licence: l, citation: c, files: [{url: 'http://x/a.zip'}]}\n"
        "gtzan: {title: Ours, homepage: h, licence: l, citation: c, manual: ask us}\n"
    )
    assert load_recipes(own)["mine"].files[0].filename == "a.zip"
    monkeypatch.setenv("SONOSCALE_RECIPES", str(own))
    assert load_recipes()["gtzan"].title == "Ours"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {title: t, homepage: h, licence: l, citation: c}", "either files or manual"),
        ("a: {titel: t, homepage: h, licence: l, citation: c, manual: m}", "unknown key 'titel'; did you mean 'title'"),
        ("a: {title: t, homepage: h, licence: l, citation: c, files: [{url: 'ftp://x/a'}]}", "http:// or https://"),
        ("a: {title: t, homepage: h, licence: l, citation: c, files: [{url: 'http://x/a', checksum: 'md5:12'}]}",
         "must be md5: and 32"),
        ("a: {title: t, homepage: h, licence: l, citation: c, files: [{url: 'http://x/a', into: '../b'}]}",
         "without '..'"),
        ("a: {title: t, homepage: h, licence: l, citation: c, files: [{part: p}]}", "either url or zenodo"),
        ("../a: {title: t}", "cannot be the name of a recipe"),
        ("a: [", "not valid YAML"),
        ("- a", "must be a mapping"),
    ],
)  # fmt: skip
def test_recipes_that_are_wrong(tmp_path, text, expected):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(SonoscaleError, match=expected) as caught:
        load_recipes(tmp_path / "own.yaml")
    assert "own.yaml" in str(caught.value)


def test_two_files_of_one_name_are_two_files(server, tmp_path):
    server.files |= {"train/clips.zip": zipped({"a.wav": b"train"}), "test/clips.zip": zipped({"b.wav": b"test"})}
    server.files |= {"train/list.csv": b"of train", "test/list.csv": b"of test"}
    files = [
        {"url": f"{server.address}/plain/{part}/{name}", "into": part, "part": part}
        for part in ("train", "test")
        for name in ("clips.zip", "list.csv")
    ]
    done = fetch_corpus("toy", recipe(files), tmp_path, patience=IMPATIENT)
    assert done.files == ["train/clips.zip", "train/list.csv", "test/clips.zip", "test/list.csv"]
    assert fetched_tree(tmp_path / "toy") == {
        "train/a.wav": b"train", "test/b.wav": b"test", "train/list.csv": b"of train", "test/list.csv": b"of test",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"two files are 'clips\.zip': give one of them another name or into"):
        recipe([{"url": f"{server.address}/plain/{part}/clips.zip"} for part in ("train", "test")])


def test_files_of_two_records_do_not_replace_each_other(server, tmp_path):
    server.files |= {"1/a.bin": b"one", "2/a.bin": b"two"}
    for record in ("1", "2"):
        links = {"self": f"{server.address}/plain/{record}/a.bin"}
        server.files[record] = json.dumps({"files": [{"key": "a.bin", "links": links}]}).encode()
    toy = recipe([{"zenodo": "1"}, {"zenodo": "2"}], zenodo_api=f"{server.address}/plain")
    with pytest.raises(SonoscaleError, match=r"a\.bin: zenodo:1/a\.bin is there already, and zenodo:2/a\.bin would"):
        fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    assert fetched_tree(tmp_path / "toy") == {"a.bin": b"one"}


SECRET = "file:///etc/hostname"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"links": {"self": SECRET}}, "files.0.links.self = .*must be an address that begins with http"),
        ({"links": {"self": "ftp://127.0.0.1/a"}}, "files.0.links.self"),
        ({"links": {"self": "HTTP://127.0.0.1:9/a b"}}, "files.0.links.self"),
        ({"links": {"self": None}}, "files.0.links.self"),
        ({"links": []}, "files.0.links"),
        ({"key": "../a"}, "files.0.key"),
        ({"key": ".."}, "files.0.key"),
        ({"key": "sonoscale-fetch.json"}, "files.0.key"),
        ({"key": "a\\b"}, "files.0.key"),
        ({"key": "a\n"}, "files.0.key"),
        ({"key": 5}, "files.0.key"),
        ({"checksum": "crc:1"}, "files.0.checksum"),
        ({"size": -1}, "files.0.size"),
        ({"size": 10**400}, "files.0.size"),
    ],
)
def test_what_zenodo_answers_is_not_trusted(server, tmp_path, entry, expected):
    links = {"self": f"{server.address}/plain/a"}
    server.files |= {"a": b"content", "7": json.dumps({"files": [{"key": "a", "links": links, **entry}]}).encode()}
    toy = recipe([{"zenodo": "7"}], zenodo_api=f"{server.address}/plain")
    with pytest.raises(SonoscaleError, match=rf"plain/7: not a Zenodo record as expected: {expected}") as caught:
        fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("answer", ["[]", "null", "5", '"a"', "{}", '{"files": {}}', '{"files": [1]}', "[" * 100_000])
def test_zenodo_may_answer_anything(server, tmp_path, answer):
    server.files["7"] = answer.encode()
    toy = recipe([{"zenodo": "7"}], zenodo_api=f"{server.address}/plain")
    with pytest.raises(SonoscaleError, match="plain/7: ") as caught:
        fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", [SECRET, "ftp://127.0.0.1/a", "data:,a", "gopher://a/b"])
def test_a_redirect_leads_to_the_web_only(server, tmp_path, target):
    with pytest.raises(SonoscaleError, match=r"points to .* which is not http|answers 302"):
        download([f"{server.address}/pointing/{target}"], tmp_path / "f", patience=IMPATIENT)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("url", [SECRET, "http:///a", "http://a b/c", "http://[/a", "http://a:port/b", "http://a/b\nc"])
def test_odd_addresses_are_one_line(tmp_path, url):
    with pytest.raises(SonoscaleError) as caught:
        download([url], tmp_path / "f", patience=IMPATIENT)
    assert not (tmp_path / "f").exists()
    assert "\n" not in str(caught.value).replace(url, "")


def test_a_download_ends_at_the_size_that_it_has(server, tmp_path):
    server.files["data.bin"] = bytes(1 << 16)
    with pytest.raises(SonoscaleError, match="the server sends more than the 200000 bytes of the file"):
        download([f"{server.address}/endless/data.bin"], tmp_path / "f", size=200_000, patience=IMPATIENT)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_drips_is_given_up(server, tmp_path):
    patience, started = Patience(retries=1, pause=0.001, timeout=0.4), time.monotonic()
    with pytest.raises(SonoscaleError, match=r"the connection brings \d+ bytes a second only \(2 times\)"):
        download([f"{server.address}/dripping/data.bin"], tmp_path / "f", patience=patience)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "bz2.zip", "lzma.zip"])
def test_archives_that_unpack_to_far_too_much_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("sonoscale.corpora._unpack._SMALL", 1 << 18)
    content = {"zeros.bin": bytes(40 << 20)}
    if kind == "tar.gz":
        (tmp_path / "a.tar.gz").write_bytes(tarred(content))
    else:
        method = {"zip": zipfile.ZIP_DEFLATED, "bz2.zip": zipfile.ZIP_BZIP2, "lzma.zip": zipfile.ZIP_LZMA}[kind]
        with zipfile.ZipFile(tmp_path / f"a.{kind}", "w", method) as archive:
            archive.writestr("zeros.bin", content["zeros.bin"])
    with pytest.raises(SonoscaleError, match=rf"a\.{kind}: cannot be unpacked \(it unpacks to more than 100 times"):
        unpack(tmp_path / f"a.{kind}", tmp_path / "out")
    assert [f.name for f in tmp_path.iterdir()] == [f"a.{kind}"]


@pytest.mark.parametrize("size", [-512, -(1 << 40), 1 << 62])
@pytest.mark.parametrize("where", ["header", "pax"])
def test_tar_members_of_impossible_sizes(tmp_path, size, where):
    member = tarfile.TarInfo("a.wav")
    if where == "pax":
        member.pax_headers = {"size": str(size)}
        head = member.tobuf(tarfile.PAX_FORMAT)
    else:
        member.size = size
        head = member.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(head + bytes(10_240))
    with pytest.raises(SonoscaleError, match=r"a\.tar: cannot be unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("names", [["a", "a/b"], ["n" * 300], ["a/" * 3000 + "b"], ["."]])
def test_members_whose_names_no_disk_takes(tmp_path, names):
    (tmp_path / "a.zip").write_bytes(zipped(dict.fromkeys(names, b"x")))
    with pytest.raises(SonoscaleError, match=r"a\.zip: cannot be unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": [], "complete": []}', '{"files": {"a": 1}, "complete": []}',
                                     '{"files": {}, "complete": 5}', "[" * 100_000, "\udce9"])  # fmt: skip
def test_a_receipt_of_another_shape_is_one_line(toy, tmp_path, content):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "sonoscale-fetch.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SonoscaleError, match=r"sonoscale-fetch\.json: .*; delete it to fetch again"):
        fetch_corpus("toy", toy, tmp_path, patience=IMPATIENT)
