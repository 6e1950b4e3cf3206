"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# A time limit per example would make the outcome depend on what else the machine is doing.
settings.register_profile("vqc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vqc")
