"""Whether a reply is about the name that we go by, not about a message. Pure."""

from services.relay.words.reply import Reply
from shared.words import replies

#: A refusal that ends no message, for it is about the name that we go by (`replies`).
_ABOUT_OUR_NAME = "helo_rejected"


def is_about_our_name(reply: Reply) -> bool:
    """The host does not like what we said in EHLO: no other recipient, and no other day, will do better. An answer to
    EHLO itself is that, whatever its words, unless it is about something that passes."""
    if reply.code < 400 or reply.code == 503:
        return False
    # Its words alone, not the stage: at EHLO whatever nobody understands would be about our name.
    said = replies.classify(reply.code, reply.enhanced or None, reply.text)
    return said.reason == _ABOUT_OUR_NAME or (reply.stage == "ehlo" and reply.code in (501, 504, 550))
