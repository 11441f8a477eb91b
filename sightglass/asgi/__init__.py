"""The layer around an application: what every request passes, and the endpoints every service has."""
