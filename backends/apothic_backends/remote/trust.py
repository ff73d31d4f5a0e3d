"""What is wrong with the certificate of a server, and what to do about it."""

from __future__ import annotations

from ssl import SSLCertVerificationError

from apothic_backends.remote.errors import NotTrusted

_EXPIRED, _OWN, _OWN_ROOT, _UNKNOWN, _ALONE = 10, 18, 19, 20, 21
_NAME, _IP = 62, 64
_AUTHORITY = (
    "nobody whom this machine trusts has signed it. If it is your own, set SSL_CERT_FILE to the "
    "certificate of its authority"
)
_WAYS_OUT = {
    _EXPIRED: "it has expired. Whoever runs the server has to renew it",
    _NAME: "it is for another name. Use the name that it is for",
    _IP: "it is not for this address. Use the name that it is for",
    **dict.fromkeys((_OWN, _OWN_ROOT, _UNKNOWN, _ALONE), _AUTHORITY),
}
"""By the codes of OpenSSL (X509_V_ERR_...)."""


def not_trusted(url: str, error: SSLCertVerificationError) -> NotTrusted:
    """The error to raise instead; nothing was sent."""
    why = _WAYS_OUT.get(error.verify_code, "see the reason")
    return NotTrusted(
        f"{url} shows a certificate that this machine does not trust, so it was shown no key "
        f"({error.verify_message}): {why}",
        url=url,
        reason=error.verify_message,
    )
