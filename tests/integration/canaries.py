"""Canaries: secrets that are planted wherever Rota takes one, and the search for them in whatever it gives away."""

import base64
import secrets
from collections.abc import Iterator

MARKER = "OpenlyShown"
"""Planted beside the secrets, where everyone may read it: a search that misses it sees nothing at all."""

_PREFIX = "Canary0"


class Canaries:
    """The secrets that were planted, by where."""

    def __init__(self) -> None:
        self._planted: dict[str, str] = {}
        self._adopted: dict[str, str] = {}

    def plant(self, where: str) -> str:
        """Returns a new secret: letters and digits alone, which no encoding of text changes."""
        assert where not in self._planted, f"{where}: planted twice"
        self._planted[where] = f"{_PREFIX}{len(self._planted):03}{secrets.token_hex(8)}"
        return self._planted[where]

    def adopt(self, where: str, secret: str) -> None:
        """Looks for a secret, too, that something else made."""
        self._adopted[where] = secret

    def seen_in(self, data: bytes) -> Iterator[str]:
        """Yields what there is to see of secrets in these bytes: in any letter case, or in Base64."""
        lowered = data.lower()
        for prefix in (_PREFIX, *self._adopted.values()):
            for form in (prefix.lower().encode(), *_in_base64(prefix)):
                held = data if form in data else lowered
                # Where one is seen, others are not far: the first tells where to look.
                if (place := held.find(form)) >= 0:
                    around = data[max(0, place - 300) : place + 100].decode(errors="replace")
                    names = [where for where, secret in (self._planted | self._adopted).items() if secret in around]
                    yield f"{', '.join(names) or 'encoded or cut'}: ...{around}..."


def _in_base64(text: str) -> Iterator[bytes]:
    """Yields a text as it stands in the Base64 of a longer one, without the digits that its neighbours share."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text.encode())
        yield encoded[(8 * shift + 5) // 6 : 8 * (shift + len(text)) // 6]
