"""Secrets at rest: sealed with the secret key, masked on the way out, opened only where they are used."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_PREFIX = "sealed:v1:"
MASK = "***"


class SecretKeyError(Exception):
    """A secret cannot be opened with the key at hand."""


def mask_all(_: str) -> str:
    """Hides a secret whole."""
    return MASK


@dataclass(frozen=True)
class Sealed:
    """Marks a string field of a settings model as secret: `key: Annotated[str, Sealed()]`."""

    mask: Callable[[str], str] = mask_all
    """What people see in place of the value."""


class SecretBox:
    """Seals and opens secrets with one key (Fernet: AES-128-CBC and HMAC-SHA256)."""

    def __init__(self, key: str) -> None:
        """Takes the secret key: any text; its SHA-256 is the encryption key."""
        self._key = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())
        self._fingerprint_key = hmac.digest(key.encode(), b"rota: fingerprints of secrets", "sha256")

    @cached_property
    def _fernet(self) -> "Fernet":
        # Loaded with the first secret: it takes 6 MB of a process, and many have none.
        from cryptography.fernet import Fernet  # noqa: PLC0415

        return Fernet(self._key)

    def seal(self, text: str) -> str:
        """Returns the sealed form of a text."""
        return _PREFIX + self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Returns the text of a sealed form; what is not sealed comes back as it is.

        Raises:
            SecretKeyError: It was sealed with another key.
        """
        if not is_sealed(sealed):
            return sealed
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see `_fernet`

        try:
            return self._fernet.decrypt(sealed.removeprefix(_PREFIX).encode()).decode()
        except InvalidToken:
            raise SecretKeyError(
                "a secret of this step was sealed with another key: give this process the ROTA_SECRET_KEY of the API",
            ) from None

    def fingerprint(self, sealed: str, place: str) -> str:
        """Returns what tells whether the secret at a place is still the same: each sealing of it looks different.

        It says nothing to those without the secret key, not even whether two places hold the same secret: HMAC-SHA256
        over both, with a key that is derived from the secret key.

        Raises:
            SecretKeyError: It was sealed with another key.
        """
        return hmac.digest(self._fingerprint_key, f"{place}\0{self.open(sealed)}".encode(), "sha256").hex()


class OpenedSecrets(SecretBox):
    """A box that remembers what was opened with it, so that it can be hidden wherever it turns up."""

    def __init__(self, box: SecretBox) -> None:
        """Opens what this box opens."""
        vars(self).update(vars(box))
        self._opened: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None

    def open(self, sealed: str) -> str:
        """Returns the text of a sealed form, as `SecretBox.open` does."""
        text = super().open(sealed)
        # What names a variable is no secret; messages say which one.
        if is_sealed(sealed) and "${env:" not in text:
            self._opened.add(text)
            self._forms = _forms(self._opened)
            self._pattern = _pattern(self._forms)
        return text

    def hide(self, text: str) -> str:
        """Returns a text with every secret hidden that was opened so far."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def stream(self) -> "HidingStream":
        """Returns what hides secrets in a text that comes in parts."""
        return HidingStream(self)

    def split(self, text: str) -> tuple[str, str]:
        """Returns a text with its secrets hidden, and its end, as it is, as far as a secret may begin there."""
        if self._pattern is None:
            return text, ""
        cut = len(text) - max(_begun_at_end(form, text) for form in self._forms)
        for found in self._pattern.finditer(text):
            if found.start() < cut < found.end():
                cut = found.start()
        return self.hide(text[:cut]), text[cut:]


class HidingStream:
    """Hides secrets in a text that comes in parts, those too that stand in several."""

    def __init__(self, secrets: OpenedSecrets) -> None:
        """Hides what is opened until then."""
        self._secrets = secrets
        self._held = ""

    def hide(self, text: str, *, final: bool) -> str:
        """Takes the next part, and returns what may be shown; all of it where it is the final one."""
        if final:
            shown, self._held = self._secrets.hide(self._held + text), ""
        else:
            shown, self._held = self._secrets.split(self._held + text)
        return shown


def _begun_at_end(form: str, text: str) -> int:
    """Returns how many characters at the end of a text are the beginning of a form, and not the whole of it."""
    return next((size for size in range(min(len(form) - 1, len(text)), 0, -1) if text.endswith(form[:size])), 0)


def is_sealed(value: object) -> bool:
    """Whether a value is the sealed form of a secret."""
    return isinstance(value, str) and value.startswith(_PREFIX)


@cache
def secret_fields(model: type[BaseModel]) -> Mapping[str, Sealed]:
    """Returns the fields of a model that are marked as secret, by attribute name."""
    return {
        name: marker
        for name, field in model.model_fields.items()
        for marker in field.metadata
        if isinstance(marker, Sealed)
    }


def _change(model: type[BaseModel], values: Mapping[str, Any], change: Callable[[Sealed, str], str]) -> dict[str, Any]:
    markers = secret_fields(model)
    return {
        name: change(markers[name], value) if name in markers and isinstance(value, str) else value
        for name, value in values.items()
    }


def seal_fields(model: type[BaseModel], values: Mapping[str, Any], box: SecretBox) -> dict[str, Any]:
    """Returns the values, which are in clear, with every secret field sealed."""
    return _change(model, values, lambda _, value: box.seal(value))


def open_fields(model: type[BaseModel], values: Mapping[str, Any], box: SecretBox) -> dict[str, Any]:
    """Returns the values with every secret field in clear.

    Raises:
        SecretKeyError: A field was sealed with another key.
    """
    return _change(model, values, lambda _, value: box.open(value))


def mask_fields(model: type[BaseModel], values: Mapping[str, Any], box: SecretBox) -> dict[str, Any]:
    """Returns the values with every secret field masked, fit to be shown."""

    def masked(marker: Sealed, value: str) -> str:
        try:
            return marker.mask(box.open(value))
        except SecretKeyError:
            return MASK

    return _change(model, values, masked)


def scrubber(secrets: Sequence[str]) -> Callable[[str], str]:
    """Returns a function that hides secrets in a text, as they are and as URLs write them."""
    pattern = _pattern(_forms(secrets))
    return (lambda text: pattern.sub(MASK, text)) if pattern else (lambda text: text)


def _forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """Returns the forms in which secrets may turn up, the longest first."""
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _pattern(forms: Sequence[str]) -> re.Pattern[str] | None:
    # One of three characters or less is hidden only where it stands alone: holes in words would tell it.
    patterns = [re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms]
    return re.compile("|".join(patterns)) if patterns else None
