"""Why a receiver could not be reached, in words that give nothing of its address away but the host."""

import ssl
from collections.abc import Sequence

import aiohttp

from app.archive.shown import printable

# the first that fits; an error's own text is never used where it may hold the address
_WORDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((aiohttp.ConnectionTimeoutError,), "No connection within 5 seconds."),
    ((TimeoutError,), "No answer within 15 seconds."),
    ((aiohttp.ClientConnectorDNSError,), "The name of the host could not be resolved."),
    ((aiohttp.ClientSSLError, ssl.SSLError), "The receiver does not speak TLS as it should."),
    ((aiohttp.ServerDisconnectedError, OSError), "The connection was closed before an answer came."),
    ((aiohttp.ClientResponseError, aiohttp.ClientPayloadError), "The answer is not HTTP."),
    ((aiohttp.InvalidURL, ValueError), "The address cannot be used."),
)


def words_for(error: Exception, refusals: Sequence[str]) -> str:
    """Say what went wrong; `refusals` are the addresses that nothing may be sent to, and why."""
    if refusals:  # whatever else went wrong: this is what somebody has to know
        return printable(f"Not sent: {'; '.join(dict.fromkeys(refusals))}.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"The receiver's certificate is not valid: {_reason(error.certificate_error)}."
    if type(error) is aiohttp.ClientConnectorError:
        return f"No connection: {error.os_error.strerror or type(error.os_error).__name__}."
    known = (words for kinds, words in _WORDS if isinstance(error, kinds))
    return next(known, f"The call failed ({type(error).__name__}).")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(error.verify_message).removesuffix(".")
    return "it does not belong to the host"
