"""How the API is served: authentication, problems, OpenAPI, turns of tenants."""
