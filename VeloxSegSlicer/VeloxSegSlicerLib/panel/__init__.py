"""The panel put together: choices, state, sections, dialogs."""
