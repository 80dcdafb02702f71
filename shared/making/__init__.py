"""How a body becomes one recipient's: agreed between what makes mails and what shows them in a browser."""
