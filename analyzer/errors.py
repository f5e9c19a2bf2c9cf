"""Errors that a user can do something about; the command line prints them without a traceback.

Each message says what is wrong, where, and what to do.

* AnalyzerError
  * UsageError      the command line or the settings are wrong
  * InputError      one input cannot be read; the run goes on without it
  * OutputError     a result cannot be written
"""

from __future__ import annotations


class AnalyzerError(Exception):
    """Something that the user can mend."""


class UsageError(AnalyzerError):
    """The command line or a settings file is wrong."""


class InputError(AnalyzerError):
    """One input cannot be read."""


class OutputError(AnalyzerError):
    """A result cannot be written."""
