"""The HTTP/JSON edge of gRPC services, made from the google.api.http annotations of their contracts.

It calls the services over gRPC like any other client, so that validation, credentials, limits and metrics are theirs and
run once. It knows nothing of what the services are about.

    server.HttpServer     listens, and stops in order
    edge.Edge             one request: find the route, read it, call, answer
    routes, template      which method answers which verb and path
    request, reader       parameters, path and body become the request message
    answer, streams       responses, errors and streams become JSON, NDJSON, server-sent events
    origins               what browsers may do
    pages, openapi        /docs, /openapi.json, /metrics, /healthz, /livez
"""
