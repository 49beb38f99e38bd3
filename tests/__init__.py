"""Tests: packages that mirror the code, and suites named for what they do. See CONTRIBUTING.md."""
