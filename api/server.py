"""How the API is served over HTTP."""

import uvicorn


def serve(factory: str, *, host: str, port: int, workers: int = 1) -> None:
    """Serves an ASGI application until the process is asked to stop.

    Args:
        factory: `module:function` that makes the application, called in each process.
        host: Address to listen on.
        port: 1 to 65535, or 0 for any that is free.
        workers: How many processes serve.
    """
    uvicorn.run(
        factory,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
    )
