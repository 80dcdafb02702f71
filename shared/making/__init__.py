"""How a mail becomes one recipient's: agreed between what sends mails, what previews and what shows them."""
