"""Asks a gateway's admin interface: meters, their keys, commands, what came of them."""

from __future__ import annotations

from pathlib import Path

from host_tools.pairing.errors import GatewayRefused, GatewayUnreachable
from host_tools.pairing.files import read_secret
from host_tools.pairing.identity import Identity, to_dict
from host_tools.pairing.json_client import JsonClient, Row
from host_tools.pairing.setup import Admin

ACTIVE, REVOKED, DECOMMISSIONED = "active", "revoked", "decommissioned"  # states of a meter
READ_NOW = "read_now"


class GatewayClient(JsonClient):
    """One gateway, as one administrator."""

    unreachable = GatewayUnreachable
    refused = GatewayRefused

    @classmethod
    def of(cls, admin: Admin) -> GatewayClient:
        """As pairing.toml has it. Raises BadInput, ExposedSecret, InsecureAddress."""
        return cls(admin.url, read_secret(Path(admin.token_file)), admin.ca_file)

    # -------------------------------------------------------------- meters

    def show(self, hex_id: str) -> Row | None:
        """A meter as the gateway has it; None when it is not registered."""
        try:
            return self._row("GET", f"/v1/meters/{hex_id}")
        except GatewayRefused as refusal:
            if refusal.problem == "not_there":
                return None
            raise

    def register(self, identity: Identity, *, again: bool = False) -> Row:
        """Register a meter; `again` brings a decommissioned one back under a newer key epoch."""
        path = "/v1/meters?again=true" if again else "/v1/meters"
        return self._row("POST", path, to_dict(identity))

    def decommission(self, hex_id: str) -> Row:
        """Destroy a meter's keys for good; a tombstone stays."""
        return self._row("POST", f"/v1/meters/{hex_id}/decommission", {"confirm": hex_id})

    def set_security_level(self, hex_id: str, level: str) -> Row:
        """Record how well a meter is locked, L0 to L2. Raises GatewayRefused: `unusable` for
        another value or a tombstone, `not_there` for a meter that nobody registered."""
        return self._row("PUT", f"/v1/meters/{hex_id}/security-level", {"security_level": level})

    def keys(self, hex_id: str) -> list[Row]:
        """The key epochs of a meter, never a key."""
        return self._rows("GET", f"/v1/meters/{hex_id}/keys")

    def highest_epoch(self, hex_id: str) -> int:
        """The highest key epoch that this meter ever had there."""
        return max((int(row["highest_epoch"]) for row in self.keys(hex_id)), default=-1)

    def rotate(self, hex_id: str) -> int:
        """Give a meter its next key by a sealed command; the command's number."""
        return int(self._row("POST", f"/v1/meters/{hex_id}/rotate")["id"])

    # -------------------------------------------------------------- what they say

    def command(self, hex_id: str, name: str) -> int:
        """Queue a command without arguments; its number."""
        body = {"meter_id": hex_id, "command": name}
        return int(self._row("POST", "/v1/commands", body)["id"])

    def command_state(self, number: int) -> Row:
        """What became of a command."""
        return self._row("GET", f"/v1/commands/{number}")

    def frame(self, hex_id: str, frame_counter: int) -> Row | None:
        """Where one accepted frame went and what it says; None when no such was accepted."""
        try:
            return self._row("GET", f"/v1/frames/{hex_id}/{frame_counter}")
        except GatewayRefused as refusal:
            if refusal.problem == "not_there":
                return None
            raise
