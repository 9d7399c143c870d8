"""Results in the scene: placed, styled, measured, changed, shown."""
