"""The meter: counts, keeps and sends energy; knows no hardware (that is boards/)."""
