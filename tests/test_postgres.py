"""The tests' own PostgreSQL is real, and each database it lends is empty and gone afterwards."""

import sqlalchemy as sa

from tests.postgres import Postgres


def test_each_database_is_fresh_and_dropped_after_use(postgres: Postgres) -> None:
    lent = set()
    for _ in range(2):
        with postgres.database() as url:
            lent.add(sa.make_url(url).database)
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            with engine.begin() as connection:
                connection.execute(sa.text("CREATE TABLE t (x int)"))
                assert connection.scalar(sa.text("SELECT count(*) FROM t")) == 0
    with sa.create_engine(postgres.url("postgres"), poolclass=sa.NullPool).connect() as connection:
        left = connection.scalars(sa.text("SELECT datname FROM pg_database"))
        assert len(lent) == 2
        assert lent.isdisjoint(left)


def test_both_engines_answer(database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
