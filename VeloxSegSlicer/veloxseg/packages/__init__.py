"""Model packages: cards, import, writing, MONAI bundles."""
