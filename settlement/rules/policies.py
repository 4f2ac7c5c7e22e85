"""Named policies: where the law can be read in more than one way, the reading chosen has a name.

Each field is one disputed question; its comment says who reads it how, docs/settlement.md says
why the default is what it is. A contract carries its policies, since sellers differ.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from settlement.rules.errors import BadPolicy

# Whether the price cap binds zone by zone, or the average of the zones weighted by billed kWh.
CAP_SCOPES = ("zone_weighted_average", "unit_price")
# From which month of export the monthly value is raised by 1.23.
UPLIFT_STARTS = ("2025-02", "2025-01")
# Where negative market prices become zero: each quarter before the hourly mean, the mean, never.
RCE_CLAMPS = ("quarter", "hour", "none")
# Whether the 12 months of a deposit lot run from the month it is booked in, or of its export.
DEPOSIT_CLOCKS = ("booking_month", "export_month")
# Whether a month's export pays from the next month on, or already in its own.
DEPOSIT_BOOKINGS = ("next_month", "same_month")
# A price corrected after the lot was used: post the difference, or settle the past again.
RCEM_CORRECTIONS = ("post_difference", "settle_again")
# What a prosumer from before July 2024 gets from then on without a statement.
RCE_TRANSITIONS = ("rcem_stays", "rce_from_2024_07")
# Who gets 30 % of what is left of a lot: those who moved by statement, or everybody on RCE.
REFUND_THIRTIES = ("after_statement", "every_rce")
# Whether lots that ran out before July 2024 are refunded at all.
EARLY_REFUNDS = ("paid", "forfeited")
# Whether a tenant prosumer is paid the whole deposit, or the share of the refund rule.
TENANT_PAYOUTS = ("whole", "refund_share")
# Which zone stored energy covers first.
ZONE_POLICIES = ("highest_variable_first", "per_zone", "proportional")
# Until when stored energy can be taken: the end of month m + 12, or of m + 11.
STORAGE_EXPIRIES = ("month_plus_12", "month_plus_11")
# What is not charged on kWh covered from the storage, beside energy.
STORAGE_EXEMPTIONS = ("every_variable_item", "network_variable_only")
# Billed energy: whole kWh half-up, down, half-up with the rest carried on, or Wh as they are.
KWH_ROUNDINGS = ("half_up", "down", "carry", "exact")
# Which import of a prosumer picks the bands of capacity and transitional fee.
BAND_BASES = ("balanced", "raw")
# Whether the trade fee belongs to the base of the rebate.
REBATE_TRADE_FEES = ("excluded", "included")


@dataclass(frozen=True)
class Policies:
    """One reading of the law. The first value of each list is the default."""

    cap_scope: str = CAP_SCOPES[0]
    uplift_start: str = UPLIFT_STARTS[0]
    rce_clamp: str = RCE_CLAMPS[0]
    deposit_clock: str = DEPOSIT_CLOCKS[0]
    deposit_booking: str = DEPOSIT_BOOKINGS[0]
    rcem_correction: str = RCEM_CORRECTIONS[0]
    rce_transition: str = RCE_TRANSITIONS[0]
    refund_thirty: str = REFUND_THIRTIES[0]
    early_refund: str = EARLY_REFUNDS[0]
    tenant_payout: str = TENANT_PAYOUTS[0]
    zone_policy: str = ZONE_POLICIES[0]
    storage_expiry: str = STORAGE_EXPIRIES[0]
    storage_exemption: str = STORAGE_EXEMPTIONS[0]
    kwh_rounding: str = KWH_ROUNDINGS[0]
    band_basis: str = BAND_BASES[0]
    rebate_trade_fee: str = REBATE_TRADE_FEES[0]


VALUES: dict[str, tuple[str, ...]] = {
    "cap_scope": CAP_SCOPES,
    "uplift_start": UPLIFT_STARTS,
    "rce_clamp": RCE_CLAMPS,
    "deposit_clock": DEPOSIT_CLOCKS,
    "deposit_booking": DEPOSIT_BOOKINGS,
    "rcem_correction": RCEM_CORRECTIONS,
    "rce_transition": RCE_TRANSITIONS,
    "refund_thirty": REFUND_THIRTIES,
    "early_refund": EARLY_REFUNDS,
    "tenant_payout": TENANT_PAYOUTS,
    "zone_policy": ZONE_POLICIES,
    "storage_expiry": STORAGE_EXPIRIES,
    "storage_exemption": STORAGE_EXEMPTIONS,
    "kwh_rounding": KWH_ROUNDINGS,
    "band_basis": BAND_BASES,
    "rebate_trade_fee": REBATE_TRADE_FEES,
}
assert set(VALUES) == {field.name for field in fields(Policies)}
DEFAULTS = Policies()


def policies_of(chosen: dict[str, str]) -> Policies:
    """Policies by name, the rest at their defaults. Raises BadPolicy, naming the choices."""
    for name, value in chosen.items():
        if name not in VALUES:
            raise BadPolicy(f"policy {name[:40]!r} is not known: choose of {', '.join(VALUES)}")
        if value not in VALUES[name]:
            known = ", ".join(VALUES[name])
            raise BadPolicy(f"policy {name} is {value[:40]!r}: choose one of {known}")
    return Policies(**chosen)
