"""The only SQL of the project: tables, migrations, and one function an intent, each in one transaction."""
