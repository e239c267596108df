"""Downloads from a server of our own: resumed, checked, and told what to do without a network."""

import gzip
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import numpy as np
import pytest

from ambos import data
from ambos.core.errors import DownloadError, FormatError
from ambos.data import downloads, public_sets

CONTENT = np.random.RandomState(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `files`; the first answer of `/breaks` ends in the middle."""

    files: dict = {}
    asked: list = []
    ranges = True
    release = threading.Event()

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Range")))
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and self.ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        breaks = self.path == "/breaks" and len(self.asked) == 1
        body = body[:20_000] if self.path == "/flaky" else body
        self.wfile.write(body[: len(body) // 3] if breaks else body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "files", {"/whole": CONTENT, "/breaks": CONTENT})


def test_a_broken_download_is_resumed(server, tmp_path):
    path = tmp_path / "sub" / "file"
    assert downloads.fetched("set", path, [f"{server}/breaks"], MD5).read_bytes() == CONTENT
    assert Handler.asked == [("/breaks", None), ("/breaks", "bytes=100000-")]
    downloads.fetched("set", path, [f"{server}/breaks"], MD5)
    assert len(Handler.asked) == 2  # it is there
    assert list(path.parent.iterdir()) == [path]


def test_a_download_that_breaks_off_often_gets_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "CHUNK", 10_000)
    Handler.files["/flaky"] = CONTENT
    path = downloads.fetched("set", tmp_path / "file", [f"{server}/flaky"], MD5)
    assert path.read_bytes() == CONTENT
    assert len(Handler.asked) == len(CONTENT) // 20_000
    monkeypatch.setattr(downloads, "CHUNK", 100_000)  # more than three times
    with pytest.raises(DownloadError, match="the connection broke off"):
        downloads.fetched("set", tmp_path / "other", [f"{server}/flaky"], MD5)
    assert (tmp_path / "other.part").read_bytes() == CONTENT[:60_000]


def test_what_arrived_before_a_silence_is_kept(tmp_path, monkeypatch):
    class Silent(Handler):
        def do_GET(self):
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.asked.append(start)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:] if start else CONTENT[:1000])
            self.wfile.flush()
            self.release.wait(0 if start else 30)

    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    monkeypatch.setattr(Handler, "release", threading.Event())
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        try:
            path = downloads.fetched("set", tmp_path / "file", [address], MD5)
        finally:
            Handler.release.set()
            server.shutdown()
            thread.join()
    assert path.read_bytes() == CONTENT
    assert Handler.asked == [0, 1000]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("part", [CONTENT[:1000], b"something else", CONTENT, CONTENT + b"more"])
def test_what_an_earlier_call_left(server, tmp_path, monkeypatch, part, ranges):
    monkeypatch.setattr(Handler, "ranges", ranges)
    (tmp_path / "file.part").write_bytes(part)
    path = downloads.fetched("set", tmp_path / "file", [f"{server}/whole"], MD5)
    assert path.read_bytes() == CONTENT


def test_mirrors_and_errors(server, tmp_path):
    path = tmp_path / "file"
    addresses = [f"{server}/nowhere", f"{server}/whole"]
    assert downloads.fetched("set", path, addresses, MD5).read_bytes() == CONTENT
    path.write_bytes(b"x")
    with pytest.raises(DownloadError, match=r"file is damaged.*remove it"):
        downloads.fetched("set", path, addresses, MD5)
    path.unlink()
    with pytest.raises(DownloadError, match=f"what it gives has MD5 {MD5}; need 0"):
        downloads.fetched("set", path, [f"{server}/whole"], "0")
    assert not path.exists()
    nobody = "http://127.0.0.1:9/file"
    with pytest.raises(OSError, match=f"(?s)put the file from {nobody} at .*file .MD5 {MD5}"):
        downloads.fetched("set", path, [nobody], MD5)
    with pytest.raises(DownloadError, match="download=False"):
        data.mnist(tmp_path, download=False)


def test_two_callers_download_once(server, tmp_path):
    """As workers of a distributed training do that start at the same time."""
    path, found = tmp_path / "file", []
    begin = threading.Barrier(3)

    def call():
        begin.wait()
        found.append(downloads.fetched("set", path, [f"{server}/whole"], MD5).read_bytes())

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [CONTENT] * 3
    assert Handler.asked == [("/whole", None)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"mnist: .*file/mnist cannot be made.*another root="):
        data.mnist(tmp_path / "file")


def test_all_that_is_missing_is_told_at_once(tmp_path):
    with pytest.raises(DownloadError) as found:
        data.mnist(tmp_path, download=False)
    assert [name for name in public_sets.IDX if name not in str(found.value)] == []


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.tobytes())


def test_sets_are_read(server, tmp_path, monkeypatch):
    """Small files in the real formats."""
    stream = np.random.RandomState(1)
    x, y = stream.randint(0, 256, (7, 28, 28)).astype(np.uint8), np.arange(7, dtype=np.uint8)
    files = [idx(x), idx(y), idx(x[:2]), idx(y[:2])]
    images = stream.randint(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    coarse_and_fine = np.array([[0, 9], [1, 8], [2, 7], [3, 6]], np.uint8)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in ("train", "test"):
            body = np.concatenate([coarse_and_fine, images.reshape(4, -1)], axis=1).tobytes()
            member = tarfile.TarInfo(f"cifar-100-binary/{name}.bin")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    archive = file.getvalue()
    for name, content in zip(public_sets.IDX, files, strict=True):
        Handler.files[f"/{name}"] = content
    Handler.files["/cifar-100-binary.tar.gz"] = archive
    digests = {"mnist": tuple(hashlib.md5(c).hexdigest() for c in files),
               "cifar100": (hashlib.md5(archive).hexdigest(),)}  # fmt: skip
    monkeypatch.setattr(public_sets, "MD5", digests)
    monkeypatch.setattr(public_sets, "MIRRORS", dict.fromkeys(digests, (f"{server}/",)))
    (x_train, y_train), (x_test, y_test) = data.mnist(tmp_path)
    np.testing.assert_array_equal(x_train[:, 0], x)
    assert (y_train.tolist(), y_test.tolist(), x_test.shape) == (
        list(range(7)), [0, 1], (2, 1, 28, 28))  # fmt: skip
    (x_train, y_train), _ = data.cifar100(tmp_path)
    np.testing.assert_array_equal(x_train, images)
    assert y_train.tolist() == [9, 8, 7, 6]
    data.cifar100(tmp_path, download=False)
    (tmp_path / "bad.gz").write_bytes(b"text")
    with pytest.raises(FormatError, match="no file in MNIST's format"):
        public_sets.read_idx(tmp_path / "bad.gz")
