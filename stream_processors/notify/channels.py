"""Stage *send*: a notification by its integration's channel, and what became of it."""

from dataclasses import dataclass

from fleetpulse.clock import Clock
from fleetpulse.notify.config import Apprise, Email, Forward, Webhook
from fleetpulse.notify.notifier import Notification, Outcome
from stream_processors.notify.apprise_call import send_apprise
from stream_processors.notify.guard import ForbiddenError, Guard, NotSentError
from stream_processors.notify.mail import send_mail
from stream_processors.notify.request import UnsureError
from stream_processors.notify.webhook import send_forward, send_webhook


@dataclass(frozen=True, slots=True)
class Channels:
    """Sends by every kind of channel; blocks, so for threads. No method raises."""

    guard: Guard
    allow: str
    external_url: str
    hmac_secret: str
    clock: Clock

    def send(self, notification: Notification) -> tuple[Outcome, str]:
        """The outcome, and why it is not DELIVERED."""
        try:
            return self._send(notification)
        except ForbiddenError as error:
            return Outcome.REFUSED, str(error)
        except NotSentError as error:
            return Outcome.FAILED, str(error)
        except UnsureError as error:
            return Outcome.UNSURE, str(error)
        except Exception as error:
            return Outcome.UNSURE, f"{type(error).__name__}: {error}"

    def _send(self, notification: Notification) -> tuple[Outcome, str]:
        match notification.integration.channel:
            case Webhook() as webhook:
                now_seconds = self.clock.now_ms() // 1000
                return send_webhook(notification, webhook, self.guard, self.external_url, self.hmac_secret, now_seconds)
            case Forward() as forward:
                return send_forward(notification, forward, self.guard)
            case Email() as email:
                return send_mail(notification, email, self.guard, self.external_url)
            case Apprise() as apprise:
                return send_apprise(notification, apprise, self.allow, self.external_url)
