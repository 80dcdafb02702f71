"""What can be set of suppression."""

from typing import Annotated

from msgspec import Meta

from services.suppression import retention
from services.suppression.escalation import MOST_BOUNCES, MOST_BOUNCES_OF_A_REASON, MOST_DAYS, Rule, Rules
from services.suppression.retention import MOST_WARN_DAYS, MOST_YEARS, NEW_WARN_DAYS
from shared.process.settings import NotNegative, Process

_Bounces = Annotated[int, Meta(ge=0, le=MOST_BOUNCES)]
_BouncesOfAReason = Annotated[int, Meta(ge=0, le=MOST_BOUNCES_OF_A_REASON)]
_Days = Annotated[int, Meta(ge=0, le=MOST_DAYS)]
_Years = Annotated[int, Meta(ge=0, le=MOST_YEARS)]
_WarnDays = Annotated[int, Meta(ge=1, le=MOST_WARN_DAYS)]
_NEW = Rules()


class Suppression(Process, frozen=True, kw_only=True):
    #: So many soft bounces in a row, of whatever reason, list an address; 0: never. A tenant may have other rules than
    #: these here and below (`PUT /v1/escalation`).
    soft_bounces: _Bounces = _NEW.soft_bounces.bounces
    #: The last of them at least so long after the first.
    soft_bounces_days: _Days = _NEW.soft_bounces.days
    #: The entry ends so long after it; 0: never. Then one more mail goes out, and if that bounces, it is listed again.
    soft_bounces_expire_days: NotNegative = _NEW.soft_bounces.expires_after_days
    #: The same of a mailbox that is full.
    mailbox_full: _BouncesOfAReason = _NEW.mailbox_full.bounces
    mailbox_full_days: _Days = _NEW.mailbox_full.days
    mailbox_full_expire_days: NotNegative = _NEW.mailbox_full.expires_after_days
    #: Of a mailbox that is switched off for now.
    inactive: _BouncesOfAReason = _NEW.inactive.bounces
    inactive_days: _Days = _NEW.inactive.days
    inactive_expire_days: NotNegative = _NEW.inactive.expires_after_days
    #: Of answers that nobody has that name which were not said for good: they list it as a hard bounce.
    unknown_user: _BouncesOfAReason = _NEW.unknown_user.bounces
    unknown_user_days: _Days = _NEW.unknown_user.days
    unknown_user_expire_days: NotNegative = _NEW.unknown_user.expires_after_days

    #: Addresses from which nothing came for so many years are erased: no click, no consent, no leaving; 0: never. A
    #: tenant may have another rule than this here and below (`PUT /v1/retention`).
    retention_years: _Years = 0
    #: The tenant is told so long before.
    retention_warn_days: _WarnDays = NEW_WARN_DAYS

    #: At which hours of the day somebody opens and clicks is kept so long after the last time, for jobs with
    #: `best_hour`; 0: not at all.
    usual_hours_days: NotNegative = 400

    @property
    def retention(self) -> retention.Rule:
        """Of tenants that have none of their own."""
        return retention.Rule(self.retention_years, self.retention_warn_days)

    @property
    def rules(self) -> Rules:
        """Of tenants that have none of their own."""
        return Rules(
            Rule(self.soft_bounces, self.soft_bounces_days, self.soft_bounces_expire_days),
            Rule(self.mailbox_full, self.mailbox_full_days, self.mailbox_full_expire_days),
            Rule(self.inactive, self.inactive_days, self.inactive_expire_days),
            Rule(self.unknown_user, self.unknown_user_days, self.unknown_user_expire_days),
        )
