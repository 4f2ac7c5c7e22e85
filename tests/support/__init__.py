"""Builders, fakes and the unix-port collector shared by the tests."""
