"""Every route of the admin interface, in the order of its description."""

from __future__ import annotations

from typing import Any

from gateway.admin import api_commands, api_meters, api_outages, api_updates, api_watch

HANDLERS: list[Any] = [
    *api_meters.HANDLERS,
    *api_commands.HANDLERS,
    *api_updates.HANDLERS,
    *api_outages.HANDLERS,
    *api_watch.HANDLERS,
]
