"""The SMTP door: mail programs and servers of tenants hand over mails, which become jobs as by POST /v1/mails."""
