"""Registers a meter once, however often it is tried, and tells a conflict by its name."""

from __future__ import annotations

from typing import Any

from host_tools.pairing.errors import Conflict, GatewayRefused
from host_tools.pairing.gateway_client import ACTIVE, DECOMMISSIONED, GatewayClient
from host_tools.pairing.identity import Identity


def register_once(gateway: GatewayClient, identity: Identity, *, again: bool = False) -> bool:
    """Whether it was new there. `again`: a tombstone comes back under its newer key epoch.

    Raises Conflict, GatewayRefused, GatewayUnreachable.
    """
    known = gateway.show(identity.hex_id)
    tombstone = known is not None and known.get("state") == DECOMMISSIONED
    if known is None or (again and tombstone):
        try:
            gateway.register(identity, again=tombstone)
        except GatewayRefused as refusal:
            if refusal.problem != "exists":  # the answer to a first try may have been lost
                raise
        else:
            return True
        known = gateway.show(identity.hex_id)
    check_same(known or {}, identity.hex_id, identity.key_epoch)
    return False


def check_same(known: dict[str, Any], hex_id: str, key_epoch: int) -> None:
    """Whether the gateway's meter is this one, as far as it shows. Raises Conflict.

    Ids are 64 random bits, so one that is there with the same key epoch is the same registration,
    taken in before; the first reading proves the key.
    """
    state, epochs = known.get("state"), known.get("key_epochs", [])
    if state == DECOMMISSIONED:
        raise Conflict(
            "decommissioned", f"meter {hex_id} was decommissioned at the gateway: pair it anew"
        )
    if key_epoch not in epochs:
        raise Conflict(
            "other_key_epoch",
            f"the gateway has meter {hex_id} with key epochs {epochs}, not {key_epoch}: repair it",
        )
    if state != ACTIVE:
        raise Conflict(
            str(state), f"meter {hex_id} is {state} at the gateway: `meters restore` lets it in"
        )


def bury_once(gateway: GatewayClient, hex_id: str) -> bool:
    """Whether its keys were destroyed now; False: they were before, or it was never there."""
    known = gateway.show(hex_id)
    if known is None or known.get("state") == DECOMMISSIONED:
        return False
    gateway.decommission(hex_id)
    return True
