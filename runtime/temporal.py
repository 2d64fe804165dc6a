"""The one way to a Temporal client: API, worker, CLI, tests and the replayer share it."""

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import to_json
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode

from contracts.names import SEARCH_ATTRIBUTES

_logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 5.0
_SILENCE_SECONDS: Final = 60.0

DEFAULT_ADDRESS = "localhost:7233"


class _JsonConverter(PydanticJSONPlainPayloadConverter):
    """Leaves out the fields of models that are None: a tenth of the history of an execution whose steps print nothing.

    With 50 executions of four steps at once that saved 3 % of the CPU, half of it in the server. What is left out is read
    as the field's default, so that has to be None.
    """

    def to_payload(self, value: Any) -> Payload | None:
        return Payload(metadata={"encoding": self.encoding.encode()}, data=to_json(value, exclude_none=True))


_CONVERTERS: Final = tuple(
    _JsonConverter() if isinstance(converter, PydanticJSONPlainPayloadConverter) else converter
    for converter in PydanticPayloadConverter().converters.values()
)


class _PayloadConverter(CompositePayloadConverter):
    """Pydantic's payload converter, made once: the SDK makes an instance for every activation of a workflow."""

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


data_converter: Final = DataConverter(payload_converter_class=_PayloadConverter)
"""How values travel through Temporal: JSON of pydantic models. One for clients, workers and replays."""


# A server that is there but refuses says something else; these mean that it cannot be asked now.
_AWAY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNKNOWN,
    },
)


def is_temporal_away(error: BaseException) -> bool:
    """Whether a call failed because the server cannot be reached, not because of what was asked."""
    if isinstance(error, RPCError):
        return error.status in _AWAY
    # What a lazy client raises at its first call; the SDK has no class of its own for it.
    return isinstance(error, RuntimeError) and str(error).startswith("Failed client connect")


async def connect(*, lazy: bool = False) -> Client:
    """Returns a client for the server that Temporal's own `TEMPORAL_*` variables and profile name.

    Args:
        lazy: Connect at the first call, so that a process starts while the server is down.

    Raises:
        RuntimeError: The server cannot be reached (not when lazy).
    """
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", DEFAULT_ADDRESS)
    return await Client.connect(**config, data_converter=data_converter, lazy=lazy)


async def connect_to(address: str) -> Client:
    """Returns a client for the server at an address, whatever the environment says.

    Raises:
        RuntimeError: The server cannot be reached.
    """
    return await Client.connect(address, data_converter=data_converter)


async def register_search_attributes(client: Client) -> None:
    """Makes Rota's search attributes known to the namespace; those it has are left alone.

    A server may refuse that to an ordinary key, as Temporal Cloud does: then an administrator adds them once, and until
    then nothing starts. The log says which they are.
    """
    try:
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace),
        )
        missing = [name for name in SEARCH_ATTRIBUTES if name not in listed.custom_attributes]
        if missing:
            await add_search_attributes(client, missing)
    except RPCError as error:
        if error.status not in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED}:
            raise
        wanted = ", ".join(f"{name} ({kind})" for name, kind in SEARCH_ATTRIBUTES.items())
        _logger.warning("search attributes may not be registered here; the namespace needs %s", wanted)


async def add_search_attributes(client: Client, names: Iterable[str]) -> None:
    """Adds some of Rota's search attributes to the namespace."""
    kinds = {name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{SEARCH_ATTRIBUTES[name].upper()}") for name in names}
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds),
        )
    except RPCError as error:
        # Another process was faster.
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise


class _OnceAMinute:
    """Says when it is time to say the same again."""

    def __init__(self) -> None:
        self._said_at = -math.inf

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._said_at < _SILENCE_SECONDS:
            return False
        self._said_at = now
        return True


class _FewRetries(logging.Filter):
    """Lets one line a minute through of those in which the SDK's pollers say of each attempt that it failed."""

    def __init__(self) -> None:
        super().__init__()
        self._is_time = _OnceAMinute()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.temporal_log.target != "temporalio_client::retry" or self._is_time()  # type: ignore[attr-defined]


def take_native_logs() -> None:
    """Lets the SDK's native part log as the rest of the process does. Comes before the first client."""
    logger = logging.getLogger("temporalio.native")
    logger.addFilter(_FewRetries())
    forwarding = LogForwardingConfig(logger, append_target_to_name=False, prepend_target_on_message=False)
    telemetry = TelemetryConfig(logging=LoggingConfig(LoggingConfig.default.filter, forwarding))
    Runtime.set_default(Runtime(telemetry=telemetry))


async def connect_when_up() -> Client:
    """Returns a client as soon as the server answers and knows Rota's search attributes.

    Until then the log says why: at once, and from then on each minute.
    """
    delay = 0.2
    is_time, was_away = _OnceAMinute(), False
    while True:
        try:
            client = await connect()
            await register_search_attributes(client)
        except (RPCError, RuntimeError) as error:
            was_away = True
            if is_time():
                _logger.warning("Temporal cannot be used yet: %s", str(error).splitlines()[0])
        else:
            if was_away:
                _logger.info("Temporal can be used now")
            return client
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_WAIT_SECONDS)
