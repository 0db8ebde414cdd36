"""PostgreSQL: the pool, statements, migrations, backups."""
