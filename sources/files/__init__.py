"""Bars from files: one, a folder or an archive of them, at a path or a URI."""

from sources.files.source import FileSource

__all__ = ["FileSource"]
