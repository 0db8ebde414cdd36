"""What any HTTP API needs: routes, middleware, error bodies, documentation pages."""
