"""The subcommands of ``convfact``, a module each."""
