"""All that knows Litestar: authentication, the byte response, a module per resource."""
