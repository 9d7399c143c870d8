"""The engine as processes: how it is started, spoken to, kept warm, checked and installed."""
