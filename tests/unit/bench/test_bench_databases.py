import socket
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from bench.databases import new_database
from bench.runs import BenchError


def test_a_file_of_its_own_that_goes_afterwards() -> None:
    with new_database(None) as url:
        path = Path(make_url(url).database or "")
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
        engine.dispose()
        assert path.is_file()

    assert not path.parent.exists()


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(BenchError, match=r"no database can be made there: .*Connection refused"), new_database(url):
            pass
