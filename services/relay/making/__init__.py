"""How a recipient's mail is made of the compiled content of the job."""
