"""Job records, queue, lease, sealed secrets, embedded server. Only here are redis and arq imported."""
