"""What every test may ask for."""

pytest_plugins = [
    "tests.support.docker_engine",
    "tests.support.redis_server",
]
