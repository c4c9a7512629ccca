"""The daemon of a drill: a process of its own, asked over its socket, ended with the drill."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from daemon.admin_client import Answer
from daemon.admin_requests import AnyAdminRequest
from daemon.admin_socket import reachable
from domain.errors import Refusal

START_WITHIN_S = 40.0
STOP_WITHIN_S = 20.0
ANSWER_WITHIN_S = 30.0
_LARGEST_ANSWER = 64 * 1024 * 1024
_POLL_S = 0.02
_OURS = ("HOLDFAST_", "OKX_")  # variables that say what is the user's: not for a drill


class SilentError(Exception):
    """The daemon did not answer: it is not there, or ended meanwhile."""


class DaemonProcess:
    """`holdfast run` with a configuration; it may be killed and started again."""

    def __init__(self, config: Path, socket: Path, log: Path, variables: Mapping[str, str]) -> None:
        self.config = config
        self.socket = socket
        self.log = log
        self._variables = dict(variables)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and wait until it answers. Raises `SilentError`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        command = (sys.executable, "-m", "daemon.cli", "run", "--config", str(self.config))
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                "--no-watch",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=kept | self._variables,
                start_new_session=True,  # Ctrl-C is the drill's, which ends it in order
            )
        deadline = asyncio.get_running_loop().time() + START_WITHIN_S
        while not await self._is_open():
            if not self.is_running:
                raise SilentError(f"the daemon ended with code {self._process.returncode}")
            if asyncio.get_running_loop().time() > deadline:
                raise SilentError(f"the daemon did not answer within {START_WITHIN_S:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _is_open(self) -> bool:
        try:
            await self._ask_line(b'{"command": "ping"}')
        except SilentError:
            return False
        return True

    async def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is flushed."""
        if self._process is not None and self.is_running:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, SIGKILL if that does not help; return the exit code."""
        if self._process is None:
            return 0
        if self.is_running:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            await self.kill()
            return -9

    async def ask(self, request: AnyAdminRequest) -> Answer | Refusal:
        """Send a request, return its result or the refusal. Raises `SilentError`."""
        answer = await self._ask_line(msgspec.json.encode(request))
        answer.pop("id", None)
        if answer.pop("ok", False):
            return answer
        return msgspec.convert(answer.get("error"), Refusal)

    async def _ask_line(self, line: bytes) -> Answer:
        try:
            with reachable(self.socket) as address:
                reader, writer = await asyncio.open_unix_connection(address, limit=_LARGEST_ANSWER)
            try:
                writer.write(line + b"\n")
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    answer = await reader.readline()
            finally:
                writer.close()
            return msgspec.json.decode(answer, type=dict[str, object])
        except (OSError, msgspec.DecodeError) as error:  # TimeoutError is an OSError
            raise SilentError(str(error) or type(error).__name__) from error
