"""A hub on the loopback address: the endpoints that the clients of Hugging Face and ModelScope really call.

It records every request, and can cut a connection in the middle of a file.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.quiet_server import QuietServer


@dataclass(frozen=True)
class Seen:
    method: str
    path: str  # of the repository's file for a download, else of the URL
    range: str | None
    token: str | None


@dataclass
class Repository:
    revisions: dict[str, str]  # branch, tag or commit → commit
    files: dict[str, dict[str, bytes]]  # commit → path → content
    refusal: tuple[int, str] | None = None  # status and X-Error-Code of every answer


@dataclass
class StandInHub:
    repositories: dict[str, Repository] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)  # path → bytes after which its next download is cut, once
    seen: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        hub = self

        class Bound(Handler):
            state = hub

        self.server = QuietServer(("127.0.0.1", 0), Bound)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def downloads(self, path: str) -> list[Seen]:
        return [request for request in self.seen if request.method == "GET" and request.path == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: StandInHub

    def do_HEAD(self) -> None:
        self.serve()

    def do_GET(self) -> None:
        self.serve()

    def log_message(self, *_: object) -> None:
        pass

    def serve(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        if match := re.fullmatch(r"/api/models/(.+?)/revision/(.+)", path):
            self.note(path)
            self.information(match[1], match[2])
        elif match := re.fullmatch(r"/api/models/(.+?)/tree/([^/]+)/?", path):
            self.note(path)
            self.tree(match[1], match[2])
        elif match := re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path):
            self.note(match[3])
            self.file(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/api/v1/models/(.+?)/repo/files", path):
            self.note(path)
            self.modelscope_files(match[1], query["Revision"][0])
        elif match := re.fullmatch(r"/api/v1/models/(.+?)/repo", path):
            self.note(query["FilePath"][0])
            self.file(match[1], query["Revision"][0], query["FilePath"][0])
        else:
            self.note(path)
            self.refuse(404, "EntryNotFound")

    def note(self, path: str) -> None:
        self.state.seen.append(Seen(self.command, path, self.headers["Range"], self.headers["Authorization"]))

    def commit(self, identity: str, revision: str) -> tuple[Repository, str] | None:
        """The repository at a revision; None when a refusal has been sent instead."""
        repository = self.state.repositories.get(identity)
        if repository is None:
            self.refuse(404, "RepoNotFound")
        elif repository.refusal:
            self.refuse(*repository.refusal)
        elif revision not in repository.revisions:
            self.refuse(404, "RevisionNotFound")
        else:
            return repository, repository.revisions[revision]
        return None

    def information(self, identity: str, revision: str) -> None:
        if found := self.commit(identity, revision):
            names = [{"rfilename": path} for path in found[0].files[found[1]]]
            self.answer_json({"_id": "0" * 24, "id": identity, "sha": found[1], "siblings": names})

    def tree(self, identity: str, revision: str) -> None:
        if found := self.commit(identity, revision):
            files = found[0].files[found[1]].items()
            rows = [{"type": "file", "path": path, "size": len(data), "oid": etag(data)} for path, data in files]
            self.answer_json(rows)

    def modelscope_files(self, identity: str, revision: str) -> None:
        if found := self.commit(identity, revision):
            rows = [
                {"Path": path, "Name": path, "Type": "blob", "Size": len(data), "Sha256": etag(data)}
                for path, data in found[0].files[found[1]].items()
            ]
            self.answer_json({"Code": 200, "Success": True, "Message": "success", "Data": {"Files": rows}})

    def file(self, identity: str, revision: str, path: str) -> None:
        found = self.commit(identity, revision)
        if found is None:
            return
        content = found[0].files[found[1]].get(path)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        begin = 0
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or ""):
            begin = int(match[1])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{etag(content)}"')
        self.send_header("X-Repo-Commit", found[1])
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.state.cuts.pop(path, None)
        self.wfile.write(content[begin : cut if cut is not None else len(content)])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def refuse(self, status: int, code: str) -> None:
        self.answer_json({"error": code, "Code": status, "Success": False, "Message": code}, status, code)

    def answer_json(self, value: Any, status: int = 200, code: str | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
