"""What every test may ask for."""

from hypothesis import HealthCheck, settings

# how long an example takes says nothing on a machine that does other things too
settings.register_profile("cell-backup", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cell-backup")

pytest_plugins = [
    "tests.support.docker_engine",
    "tests.support.redis_server",
]
