"""A service opens as many files as it is granted, whatever its shell began with."""

from __future__ import annotations

import json
import resource
from pathlib import Path

from bench.service_process import Served, environ_for


def test_a_service_takes_all_the_open_files_that_it_is_granted(tmp_path: Path):
    config, (soft, hard) = tmp_path / "service.yaml", resource.getrlimit(resource.RLIMIT_NOFILE)
    source = {"name": "agents", "url": f"file://{tmp_path}/none"}
    store = f"sqlite:///{tmp_path}/service.db"
    config.write_text(json.dumps({"listen": "127.0.0.1:0", "store": store, "sources": [source]}))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with Served(config, environ_for(tmp_path / "cache"), tmp_path / "log") as served:
            found = resource.prlimit(served.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found[0] > 256
    assert found[1] == hard
