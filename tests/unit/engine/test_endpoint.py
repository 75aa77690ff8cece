import socket
import ssl
from pathlib import Path

import pytest

from app.engine.endpoint import Endpoint
from app.errors import Code, InputError, PartError
from tests.support.tls_front import __name__ as _tls  # noqa: F401 (placeholder)
