"""The Docker engine: streams in and out, pause, stop and start. Only here is aiodocker imported."""
