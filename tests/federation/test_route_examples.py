"""The requests of docs/reference/http.md, each made of one gateway, which is a peer of itself for that."""

from __future__ import annotations

import json
import re
import ssl
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from free_ports import free_port
from mosaic_federation.keys import key_pem, new_key, signing_request

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

from writing.metrics import every, shown  # noqa: E402

EXAMPLES = DOCS / "examples" / "requests.toml"


class Asking:
    """What has been learned from the answers so far, and the clients it takes to ask on."""

    def __init__(self, gateway: Any, folder: Path) -> None:
        self.gateway, self.folder = gateway, folder
        self.known: dict[str, str] = {}
        self.key = new_key()
        self.peer: ssl.SSLContext | None = None

    @property
    def figures(self) -> str:
        bound = json.loads(self.gateway.config.read_text())["metrics"]["bind"]
        return f"http://{bound}"

    def request(self, example: dict[str, Any], token: str) -> httpx.Response:
        listener, _, _ = example["of"].partition(" ")
        method, _, path = self.filled(example["send"]).partition(" ")
        headers = {**example.get("headers", {}), "Content-Type": "application/json"}
        if listener == "public" and not example.get("anonymous"):
            headers["Authorization"] = f"Bearer {token}"
        content = self.filled(example.get("body", "")).encode() or None
        gateway = self.gateway
        base = {"public": gateway.public, "federation": gateway.link, "metrics": self.figures}[listener]
        with httpx.Client(verify=self.peer or True, timeout=60) as client:
            return client.request(method, base + path, headers=headers, content=content)

    def filled(self, text: str) -> str:
        known = {"csr": signing_request(self.key).decode(), **self.known}
        return re.sub(r"\{(\w+)\}", lambda found: json.dumps(known[found[1]])[1:-1], text)

    def learn(self, example: dict[str, Any], answer: httpx.Response) -> None:
        for name, place in example.get("keep", {}).items():
            self.known[name] = answer.json()[place]
        if (url := self.known.get("url")) is not None:
            self.known["fingerprint"] = url.partition("#ca=")[2]
        if "/" in self.known.get("token", ""):
            self.known["token"] = self.known["token"].partition("#")[0].rpartition("/")[2]
        if example["of"] == "public take_offer" and answer.is_success:
            issued = answer.json()
            for name, content in (("chain", issued["chain"]), ("key", key_pem(self.key).decode())):
                (self.folder / name).write_text(content)
            self.peer = ssl.create_default_context(cadata=issued["ca"])
            self.peer.load_cert_chain(self.folder / "chain", self.folder / "key")
            self.key = new_key()  # a certificate of the same key is not issued again


@pytest.fixture(scope="module")
def asking(new_gateway: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Asking:
    gateway = new_gateway("work", workers=2, metrics={"bind": f"127.0.0.1:{free_port()}"})
    config = json.loads(gateway.config.read_text())
    config["plugins"]["mcp"] = {}
    gateway.config.write_text(json.dumps(config))
    gateway.start()
    return Asking(gateway, tmp_path_factory.mktemp("peer"))


def test_every_example_of_a_request_is_answered_as_it_says(asking: Asking) -> None:
    asking.gateway.run("user", "add", "lead")
    shown = asking.gateway.json("token", "create", "lead", "--name", "test")
    no_admin = str(shown["token"])
    for example in tomllib.loads(EXAMPLES.read_text())["request"]:
        if "/v1/admin/" in example["send"]:
            refused = asking.request(example, no_admin)
            assert refused.status_code == 403, (example["of"], refused.text)
        answer = asking.request(example, asking.gateway.token)
        assert answer.status_code == example.get("status", 200), (example["of"], answer.text)
        asking.learn(example, answer)


def test_every_metric_is_told(asking: Asking) -> None:
    """Both workers' requests are in it, whichever is asked: the requests before this test have moved each of them."""
    names = {shown(each) for each, _ in every()}
    deadline = time.monotonic() + 30  # each tells the other once a second
    while True:
        text = httpx.get(f"{asking.figures}/metrics", timeout=60).text
        found = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        if names <= found:
            break
        assert time.monotonic() < deadline, sorted(names - found)
        time.sleep(0.2)
    assert "admin" not in text
    assert "partner" not in text


def test_figures_are_on_no_other_listener(asking: Asking) -> None:
    assert httpx.get(f"{asking.gateway.public}/metrics", timeout=60).status_code == 404
    assert httpx.get(f"{asking.figures}/v1/me", timeout=60).status_code == 404
