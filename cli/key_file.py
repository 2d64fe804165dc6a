"""Where `rota dev` keeps the key of its Administrator."""

from pathlib import Path


def api_key_file(data_dir: Path) -> Path:
    """Returns the file in which `rota dev` keeps its Administrator key."""
    return data_dir / "api-key"
