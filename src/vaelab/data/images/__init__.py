"""Pictures: files and folders to arrays."""
