"""What every gRPC service here needs and none should write twice. It knows nothing of what the services are about."""
