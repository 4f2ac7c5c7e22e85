"""Checks of the radio, and of what the gateway knows of the meter."""

from __future__ import annotations

from typing import Any

from host_tools.checks.case import Case
from host_tools.checks.checked import CORRECT, Check, Checked
from host_tools.pairing.errors import GatewayRefused, GatewayUnreachable
from host_tools.pairing.gateway_client import ACTIVE

# ------------------------------------------------------------------ radio

RSSI_DBM_MIN = -75  # below it frames are repeated and links break, more so inside a metal box
RSSI = Check(
    "rssi",
    "how strongly the meter hears its access point",
    f"{RSSI_DBM_MIN} dBm or more",
    {
        "weak": "move the access point or the meter, or take a board with an outside antenna",
        "not_joined": f"the Wi-Fi's name and password (2.4 GHz only): {CORRECT}",
        "no_name": "give it a Wi-Fi, by pairing it or by Improv",
        "not_started": "start the meter (EN), wait half a minute, and run it again",
        "wired": "nothing: look at the lights of its socket",
        "no_radio": "nothing: it uses the network of the computer it runs on",
    },
)
# network.WLAN is never made on a board with Ethernet (micropython#19123).
_RADIO = """
import json
try:
 import network
 w=network.WLAN(network.STA_IF)
 print(json.dumps([w.active(),w.isconnected(),w.status('rssi') if w.isconnected() else 0]))
except (ImportError,AttributeError):
 print('[false,false,0]')
"""


def rssi(case: Case) -> Checked:
    """Signal strength, which stays known while the meter's program stands still."""
    profile, config = case.facts.profile, case.facts.config
    if profile is not None and profile.ethernet:
        return RSSI.unknown("wired", f"{profile.product} is on a cable")
    if profile is not None and "wifi_name" not in config:
        return RSSI.bad("no_name", "config.json names no Wi-Fi")
    active, joined, dbm = case.ask(_RADIO, (False, False, 0))
    if profile is None and not joined:
        return RSSI.unknown("no_radio", "there is no radio")
    if not joined:
        if not case.ran or not active:
            return RSSI.unknown("not_started", "its Wi-Fi is switched off")
        return RSSI.bad("not_joined", "it has not joined its Wi-Fi")
    if dbm < RSSI_DBM_MIN:
        return RSSI.bad("weak", f"{dbm} dBm", rssi_dbm=dbm)
    return RSSI.good(f"{dbm} dBm", rssi_dbm=dbm)


# ------------------------------------------------------------------ what the gateway knows

REGISTERED = Check(
    "registered",
    "the gateway's admin interface knows this meter, lets it in, and has its key epoch",
    "it is active there, with the meter's key epoch or a later one",
    {
        "no_admin": "name a pairing.toml with an [admin] table",
        "no_meter": "pair it",
        "admin_away": "bring the gateway's admin interface up, or correct admin.url",
        "admin_refused": "give the right token in admin.token_file",
        "not_registered": "pair it, or take its queued registration to this gateway",
        "not_let_in": "`python -m gateway meters restore` if it was revoked; pair it anew if it was"
        " decommissioned",
        "other_epoch": "repair it by cable: the gateway has no key of its epoch",
    },
)


def registered(case: Case) -> Checked:
    """What the gateway has of it."""
    client, hex_id = case.gateway, case.facts.meter_id
    if not hex_id:
        return REGISTERED.unknown("no_meter", "it has no meter id")
    if client is None:
        return REGISTERED.unknown("no_admin", "nobody was asked")
    try:
        row = client.show(hex_id)
    except GatewayUnreachable as error:
        return REGISTERED.unknown("admin_away", str(error))
    except GatewayRefused as error:
        return REGISTERED.unknown("admin_refused", str(error))
    if row is None:
        return REGISTERED.bad("not_registered", f"meter {hex_id} is not known there")
    return _known(row, case.facts.key_epoch)


def _known(row: dict[str, Any], key_epoch: int | None) -> Checked:
    state, epochs = str(row.get("state")), [int(epoch) for epoch in row.get("key_epochs", [])]
    refused = {str(why): int(count) for why, count in dict(row.get("refused", {})).items()}
    listed = ", ".join(f"{why} {count}" for why, count in sorted(refused.items()))
    told = f"{state}, key epochs {epochs}, refused so far: {listed or 'nothing'}"
    values = {"state": state, "key_epochs": epochs, "refused": refused}
    if state != ACTIVE:
        return REGISTERED.bad("not_let_in", told, **values)
    if key_epoch is not None and not any(epoch >= key_epoch for epoch in epochs):
        return REGISTERED.bad("other_epoch", f"{told}; the meter has {key_epoch}", **values)
    return REGISTERED.good(told, **values)
