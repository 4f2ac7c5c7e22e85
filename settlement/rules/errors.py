"""Every way in which settling is refused; `reason` is the short name that callers match on."""

from __future__ import annotations


class Refused(Exception):
    """The rules will not settle this. The message says what is wrong and what to do next."""

    reason = "refused"


class BadPpe(Refused):
    """The number of the metering point is not an 18-digit GS1 number of a Polish operator."""

    reason = "bad_ppe"


class BadContract(Refused):
    """A field of the contract is outside of what the rules know."""

    reason = "bad_contract"


class BadAssignment(Refused):
    """Meters of one metering point overlap, or an assignment ends before it starts."""

    reason = "bad_assignment"


class UnsupportedTariff(Refused):
    """The tariff group has no rules here yet."""

    reason = "unsupported_tariff"


class UnsupportedScheme(Refused):
    """The settlement scheme has no rules here yet."""

    reason = "unsupported_scheme"


class BadPeriod(Refused):
    """The billing period is empty, reversed or too long."""

    reason = "bad_period"


class OutsideContract(Refused):
    """Part of the billing period lies outside of the contract's validity."""

    reason = "outside_contract"


class OffGrid(Refused):
    """An interval does not lie on the grid of its capture period."""

    reason = "off_grid"


class Overlapping(Refused):
    """Two intervals cover the same instant."""

    reason = "overlapping"


class Incomplete(Refused):
    """Energy of a part of the period is unknown. Missing is never zero.

    `gaps` are the first half-open UTC ranges without energy, `missing_s` is their whole length.
    """

    reason = "incomplete"

    def __init__(self, message: str, gaps: tuple[tuple[int, int], ...], missing_s: int) -> None:
        super().__init__(message)
        self.gaps = gaps
        self.missing_s = missing_s


class RegisterBreak(Refused):
    """The energy of the intervals is not the difference of the registers at both ends."""

    reason = "register_break"


class BadTable(Refused):
    """A table of rates contradicts itself: overlap, gap, or a hole between bands."""

    reason = "bad_table"


class NoRate(Refused):
    """No row of the table covers a day of the period."""

    reason = "no_rate"


class RateChanges(Refused):
    """The rate changes inside the period: the two parts need an invoice each."""

    reason = "rate_changes"


class BadNumber(Refused):
    """A number is not a plain decimal within its limits."""

    reason = "bad_number"


class BadPolicy(Refused):
    """A policy, or its value, is not one of those that have a name."""

    reason = "bad_policy"


class OverlappingContracts(Refused):
    """Two contracts of one point cover the same day."""

    reason = "overlapping_contracts"


class SellerChanges(Refused):
    """The seller changes inside the period: each seller issues an invoice of its own."""

    reason = "seller_changes"


class BadRebateClaim(Refused):
    """A figure of the rebate claim is outside of what can be: correct the one that is named."""

    reason = "bad_rebate_claim"


class BadHousehold(Refused):
    """Persons or income of a household are outside of their limits."""

    reason = "bad_household"


class BadAppliance(Refused):
    """An appliance, its minutes, watts or pieces are outside of their limits."""

    reason = "bad_appliance"


class BadForecast(Refused):
    """A forecast contradicts itself, another one, or the period that is settled."""

    reason = "bad_forecast"


class CannotEstimate(Refused):
    """Nothing is known that an estimate of the missing energy could rest on."""

    reason = "cannot_estimate"


class NoMarketValue(Refused):
    """A month's export is valued by hourly prices, and a part of it was settled without them."""

    reason = "no_market_value"


class NoTenantScheme(Refused):
    """The month is before tenant prosumers existed: settle it by another scheme."""

    reason = "no_tenant_scheme"


class BadOpening(Refused):
    """What a point brings along contradicts itself, or is of a month that is settled here."""

    reason = "bad_opening"
