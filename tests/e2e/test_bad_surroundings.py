"""What the machine does to a daemon: damaged files, a full or closed disk, taken places, signals.

Each has a real process. What keeps a daemon from starting is said by name, with what to do, and has
changed nothing; what hits it while it runs costs entries, never an exit, and ends by itself.
"""

import fcntl
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.admin_requests import ClosePosition
from tests.e2e.attempts import attempt, log_lines, logged, what_is_held
from tests.e2e.harness import HOLDFAST, Daemon, Processes, wait_until
