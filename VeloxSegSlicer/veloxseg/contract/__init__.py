"""What panel and engine both read; standard library and numpy alone."""
